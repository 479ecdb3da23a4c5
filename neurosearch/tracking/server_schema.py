"""The tables of MLflow's server and of its users: `python -m neurosearch.tracking.server_schema upgrade`, or `wait`.

A server that finds tables of another version ends at once, and two that find none make them at the same time. So one
job makes or migrates them, and servers wait until they are there. The database's address, which holds its password, is
read from MLFLOW_BACKEND_STORE_URI, where no list of processes shows it.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
_WAITING_SECONDS, _PAUSE_SECONDS = 600.0, 2.0
_log = logging.getLogger("neurosearch.schema")


def upgrade(uri: str) -> None:
    """Makes the tables, or brings them to this version; both may be done again."""
    from mlflow.db import upgrade as tracking
    from mlflow.server.auth.db.utils import migrate

    assert tracking.callback is not None  # a command of MLflow's own, called without its command line
    tracking.callback(uri)
    engine = _engine(uri)
    migrate(engine, "head")
    engine.dispose()


def is_current(uri: str) -> bool:
    """Tells whether the tables are there and of this version; a database that does not answer has none."""
    from alembic.script import ScriptDirectory
    from mlflow.server.auth.db.utils import _get_alembic_config
    from mlflow.store.db.utils import _get_latest_schema_revision
    from sqlalchemy.exc import SQLAlchemyError

    users = ScriptDirectory.from_config(_get_alembic_config(uri)).get_current_head()
    wanted = {
        "alembic_version": _get_latest_schema_revision(),  # type: ignore[no-untyped-call]
        "alembic_version_auth": users,
    }
    engine = _engine(uri)
    try:
        return {table: _version(engine, table) for table in wanted} == wanted
    except (SQLAlchemyError, OSError):
        return False
    finally:
        engine.dispose()


def wait(uri: str, seconds: float = _WAITING_SECONDS, pause: Callable[[float], None] = time.sleep) -> None:
    """Waits until another process has upgraded.

    Raises:
        TimeoutError: It did not within that time.
    """
    waited = 0.0
    while not is_current(uri):
        if waited >= seconds:
            raise TimeoutError(
                f"MLflow's tables are not of this version after {seconds:g} s. Look at the job that upgrades them: "
                "kubectl --namespace neurosearch logs job/mlflow-upgrade"
            )
        pause(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS


def _engine(uri: str) -> "Engine":
    from sqlalchemy import create_engine

    return create_engine(uri)


def _version(engine: "Engine", table: str) -> str | None:
    from sqlalchemy import column, select
    from sqlalchemy import table as named

    with engine.connect() as connection:
        found: str | None = connection.execute(select(column("version_num")).select_from(named(table))).scalar()
        return found


def main(words: list[str]) -> int:
    """Runs one of the two, and returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    uri = os.environ.get(_VARIABLE)
    if words not in (["upgrade"], ["wait"]) or not uri:
        _log.error("write `upgrade` or `wait`, with %s set to the database's address.", _VARIABLE)
        return 2
    try:
        {"upgrade": upgrade, "wait": wait}[words[0]](uri)
    except TimeoutError as error:
        _log.error("%s", error)  # the words are all that helps
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
