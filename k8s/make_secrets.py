"""Prints the secrets of a namespace as one manifest: `python k8s/make_secrets.py | kubectl apply -f -`.

What is random is drawn here and goes nowhere else. What others gave you (a database's password, keys of a bucket) is
read from the environment; what is not set there is drawn too, which fits overlays/dev, whose database and S3 server are
made with the same secrets.
"""

import json
import os
import secrets
import sys
from urllib.parse import quote

_NAMESPACE = "neurosearch"
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
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "TRIALS_AWS_ACCESS_KEY_ID",
        "TRIALS_AWS_SECRET_ACCESS_KEY",
        "MLFLOW_AWS_ACCESS_KEY_ID",
        "MLFLOW_AWS_SECRET_ACCESS_KEY",
        "POSTGRES_PASSWORD",
    )
    return {name: os.environ.get(name) or secrets.token_hex(24) for name in names}


def manifest(values: dict[str, str], namespace: str, database: str) -> dict[str, object]:
    """Returns the secrets.

    Args:
        values: What `drawn` returns.
        namespace: Where they go.
        database: Host, port and database of MLflow's tables.
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
        "mlflow-client": {"username": "admin", "password": values["MLFLOW_AUTH_ADMIN_PASSWORD"]},
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
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _keys(values: dict[str, str], whose: str) -> dict[str, str]:
    return {
        "access-key-id": values[f"{whose}_AWS_ACCESS_KEY_ID"],
        "secret-access-key": values[f"{whose}_AWS_SECRET_ACCESS_KEY"],
    }


if __name__ == "__main__":
    where = os.environ.get("MLFLOW_DATABASE", "postgres:5432/mlflow")
    json.dump(manifest(drawn(), os.environ.get("NAMESPACE", _NAMESPACE), where), sys.stdout)
