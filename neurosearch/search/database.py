"""Optuna's storage in a database, opened so that a broken connection neither loses nor doubles anything."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from copy import copy
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial

from neurosearch.config.database import DatabaseAddress, PostgresAddress, SqliteAddress
from neurosearch.search.connections import connect
from neurosearch.search.errors import StudyError
from neurosearch.search.mishaps import is_collision

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.orm import Session

_TOKEN = "neurosearch:token"  # noqa: S105  # no secret: tells apart the trials whose making was not answered
# Optuna makes the first of these tables first and fills the other one last. MLflow and others have the other one, too.
_FIRST_TABLE, _LAST_TABLE = "version_info", "alembic_version"
_MAY_WRITE = """
SELECT CASE WHEN to_regclass('trials') IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
ELSE has_table_privilege('trials', 'INSERT, UPDATE') AND has_table_privilege('trials', 'SELECT') END
"""
_MAKERS = int.from_bytes(b"tables", "big")  # key of the lock of those who make them


class Database(RDBStorage):
    """Optuna's storage in a database, which makes a trial once however often it is told to.

    Attributes:
        guard: Called before a trial is made; raises where this process may not make any more.
    """

    def __init__(self, address: DatabaseAddress) -> None:
        """Opens a database; the tables are made where there are none."""
        from sqlalchemy import event
        from sqlalchemy.pool import QueuePool

        self.guard: Callable[[], None] = lambda: None
        # The driver's name alone: whatever Optuna keeps, logs or prints of an address holds no host and no password.
        driver = "sqlite://" if isinstance(address, SqliteAddress) else "postgresql+pg8000://"
        options = {"creator": lambda: connect(address), "poolclass": QueuePool, "pool_pre_ping": True}
        try:
            with nullcontext() if has_tables(address) else _one_maker(address):
                super().__init__(driver, engine_kwargs=options, skip_table_creation=has_tables(address))
        except BaseException:
            if hasattr(self, "engine"):
                self.engine.dispose()
            raise
        # The driver has one class for all that a server refuses; Optuna tells two writers that collide by another.
        event.listen(self.engine, "handle_error", _collision)

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: "Session"
    ) -> "models.TrialModel":
        """Makes a trial in a transaction that holds the study's row, or finds the one that its token stands for.

        Optuna repeats the transaction when it fails, and so do we; it may have succeeded all the same. Trials are made
        by one process at a time, so an earlier try can only have made the newest one.
        """
        assert template_trial is not None, "a trial of ours is made whole"
        self.guard()
        model = models.TrialModel
        newest = session.query(model).filter_by(study_id=study_id).order_by(model.trial_id.desc()).first()
        if newest is not None:
            token = models.TrialSystemAttributeModel.find_by_trial_and_key(newest, _TOKEN, session)
            if token is not None and json.loads(str(token.value_json)) == template_trial.system_attrs[_TOKEN]:
                return newest
        return super()._get_prepared_new_trial(study_id, template_trial, session)


def with_token(trial: FrozenTrial) -> FrozenTrial:
    """Returns the trial with a token by which the database tells whether it has been made."""
    marked = copy(trial)
    marked.system_attrs = {**trial.system_attrs, _TOKEN: uuid4().hex}
    return marked


def _collision(context: "ExceptionContext") -> Exception | None:
    """Returns the error that other drivers raise for two equal keys; None for an error of another kind."""
    from sqlalchemy.exc import IntegrityError

    error = context.original_exception
    return IntegrityError(context.statement, context.parameters, error) if is_collision(error) else None


def has_tables(address: DatabaseAddress) -> bool:
    """Tells whether a database holds Optuna's tables, all of them, and their version, which their maker writes last.

    Raises:
        StudyError: It holds those of another program, which would be mixed with them.
    """
    if isinstance(address, SqliteAddress):
        query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    else:
        query = "SELECT count(*) FROM pg_class WHERE oid = to_regclass(%s)"
    with closing(connect(address)) as connection:
        first, last = (_count(connection, query, name) > 0 for name in (_FIRST_TABLE, _LAST_TABLE))
        is_whole = first and last and _count(connection, f"SELECT count(*) FROM {_LAST_TABLE}") > 0  # noqa: S608  # ours
    if last and not first:
        raise StudyError(
            "the database holds the tables of another program, such as MLflow's. Give studies a database of their own."
        )
    return is_whole


def may_write(address: PostgresAddress) -> bool:
    """Tells whether the role may write Optuna's tables, or make them where there are none; nothing is made."""
    with closing(connect(address)) as connection:
        cursor = connection.cursor()
        cursor.execute(_MAY_WRITE)
        return bool(cursor.fetchone()[0])


@contextmanager
def _one_maker(address: DatabaseAddress) -> Iterator[None]:
    """Lets one process at a time make the tables of a server; SQLite's file is locked while it is written."""
    if isinstance(address, SqliteAddress):
        yield
        return
    with closing(connect(address)) as connection:
        connection.autocommit = True
        connection.cursor().execute("SELECT pg_advisory_lock(%s)", (_MAKERS,))  # it goes with the connection
        yield


def _count(connection: Any, query: str, *names: str) -> int:
    cursor = connection.cursor()
    cursor.execute(query, names)
    return int(cursor.fetchone()[0])
