"""The user as whom studies log in to MLflow's server: `python -m neurosearch.tracking.server_users`.

MLflow makes its administrator by itself, and nobody else. A search needs none of the administrator's rights: it makes
experiments and models, and who makes one owns it. So it gets a user of its own, made before the server starts: name and
password are read from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, the server's settings from the file that
MLFLOW_AUTH_CONFIG_PATH names.
"""

import logging
import os
import sys

_NAME, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"  # a variable's name
_log = logging.getLogger("neurosearch.users")


def let_in(uri: str, name: str, password: str, administrator: str | None) -> None:
    """Makes the user, or gives them this password if they are there; may be done by several servers at once.

    Args:
        uri: Address of the users' database, whose tables are there.
        name: Of the user.
        password: Theirs.
        administrator: Whom the server makes its administrator, perhaps later.

    Raises:
        ValueError: The user is an administrator, or is to be.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    if name == administrator:
        raise ValueError(_refusal(name))
    store = SqlAlchemyStore()
    store.init_db(uri)  # type: ignore[no-untyped-call]
    try:
        try:
            store.create_user(name, password, is_admin=False)
        except MlflowException:
            if not store.has_user(name):
                raise
            if store.get_user(name).is_admin:
                raise ValueError(_refusal(name)) from None
            store.update_user(name, password)
    finally:
        store.engine.dispose()


def _refusal(name: str) -> str:
    return (
        f"{name} is MLflow's administrator, as whom no search logs in. Make the login anew: "
        "`python k8s/make_secrets.py --only mlflow-client | kubectl apply --filename -`."
    )


def main() -> int:
    """Lets in whom the environment names, and returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    name, password = os.environ.get(_NAME), os.environ.get(_PASSWORD)
    if not name or not password:
        _log.error("set %s and %s to the login of studies.", _NAME, _PASSWORD)
        return 2
    from mlflow.server.auth.config import read_auth_config

    settings = read_auth_config()
    try:
        let_in(settings.database_uri, name, password, settings.admin_username)
    except ValueError as error:
        _log.error("%s", error)  # the words are all that helps
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
