"""Prints the secrets of a namespace as one manifest: `python k8s/make_secrets.py | kubectl apply -f -`.

What is random is drawn here and goes nowhere else. What others gave you (a database's password, keys of a bucket) is
read from the environment; what is not set there is drawn too, which fits overlays/dev, whose database and S3 server are
made with the same secrets. `--only NAME` prints that secret alone, and may be repeated: all others stay as they are.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence
from urllib.parse import quote

_NAMESPACE = "neurosearch"
_NAMES = ("ray-auth", "study-database", "mlflow-server", "mlflow-client", "s3-trials", "s3-mlflow", "postgres-dev")
#: A value that stands in two secrets, which must agree.
_SHARED, _IN_TWO = "MLFLOW_DATABASE_PASSWORD", ("mlflow-server", "postgres-dev")
_AUTH = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {uri}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
grant_default_workspace_access = false
"""


def drawn() -> dict[str, str]:
    """Returns every value that may be given from outside; what is not given is random."""
    names = (
        "RAY_AUTH_TOKEN",
        "STUDIES_PASSWORD",
        "MLFLOW_DATABASE_PASSWORD",
        "MLFLOW_AUTH_ADMIN_PASSWORD",
        "MLFLOW_STUDIES_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "TRIALS_AWS_ACCESS_KEY_ID",
        "TRIALS_AWS_SECRET_ACCESS_KEY",
        "MLFLOW_AWS_ACCESS_KEY_ID",
        "MLFLOW_AWS_SECRET_ACCESS_KEY",
        "POSTGRES_PASSWORD",
    )
    return {name: os.environ.get(name) or secrets.token_hex(24) for name in names}


def disagreement(only: Sequence[str]) -> str | None:
    """Returns in words which value would be drawn anew though a secret that is not printed holds it; None if none."""
    others = [name for name in _IN_TWO if name not in only]
    if len(others) != 1 or os.environ.get(_SHARED):
        return None
    return (
        f"{_SHARED} stands in {others[0]}, too, which is not printed. Set it in the environment to what is there, or "
        f"add --only {others[0]}, which changes it in both."
    )


def manifest(values: dict[str, str], namespace: str, database: str, only: Sequence[str] = _NAMES) -> dict[str, object]:
    """Returns the secrets.

    Args:
        values: What `drawn` returns.
        namespace: Where they go.
        database: Host, port and database of MLflow's tables.
        only: Names of those that are wanted.
    """
    password = quote(values["MLFLOW_DATABASE_PASSWORD"], safe="")
    uri = f"postgresql+pg8000://mlflow:{password}@{database}"
    texts = {
        "ray-auth": {"auth_token": values["RAY_AUTH_TOKEN"]},
        "study-database": {"password": values["STUDIES_PASSWORD"]},
        "mlflow-server": {
            "backend-uri": uri,
            "auth.ini": _AUTH.format(uri=uri.replace("%", "%%")),  # an ini file has % for itself
            "flask-secret-key": values["MLFLOW_FLASK_SERVER_SECRET_KEY"],
            "admin-password": values["MLFLOW_AUTH_ADMIN_PASSWORD"],
        },
        "mlflow-client": {"username": "studies", "password": values["MLFLOW_STUDIES_PASSWORD"]},
        "s3-trials": _keys(values, "TRIALS"),
        "s3-mlflow": _keys(values, "MLFLOW"),
        "postgres-dev": {
            "password": values["POSTGRES_PASSWORD"],
            "mlflow-password": values["MLFLOW_DATABASE_PASSWORD"],
        },
    }
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"app.kubernetes.io/part-of": "neurosearch"},
            },
            "type": "Opaque",
            "stringData": data,
        }
        for name, data in texts.items()
        if name in only
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _keys(values: dict[str, str], whose: str) -> dict[str, str]:
    return {
        "access-key-id": values[f"{whose}_AWS_ACCESS_KEY_ID"],
        "secret-access-key": values[f"{whose}_AWS_SECRET_ACCESS_KEY"],
    }


def main(words: Sequence[str] | None = None) -> None:
    """Prints what a command line asks for."""
    parser = argparse.ArgumentParser(description="Prints the secrets of a namespace as one manifest.")
    parser.add_argument("--only", action="append", choices=_NAMES, help="print this secret alone; may be repeated")
    only = parser.parse_args(words).only or _NAMES
    if (why := disagreement(only)) is not None:
        parser.error(why)
    where = os.environ.get("MLFLOW_DATABASE", "postgres:5432/mlflow")
    json.dump(manifest(drawn(), os.environ.get("NAMESPACE", _NAMESPACE), where, only), sys.stdout)


if __name__ == "__main__":
    main()
