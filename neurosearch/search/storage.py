"""Where a study is written: one seam over a journal file, a SQLite file and a PostgreSQL server.

The search sees Optuna's storage and `batch`. A journal writes a batch in one piece; a database writes each operation
for itself, in order, so whoever writes several puts the one that counts (the change of a trial's state) last.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from weakref import finalize

import optuna
from optuna.storages import BaseStorage, get_storage

from neurosearch.config.database import PostgresAddress, SqliteAddress, database_address
from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.journal import open_journal
from neurosearch.search.lock import SearchLock
from neurosearch.search.mishaps import lacking_rights
from neurosearch.search.patience import Patience

_SEARCH_SECONDS = 60.0  # a server is restarted in less, and trials go on meanwhile


@dataclass(frozen=True)
class Storage:
    """An opened storage.

    Attributes:
        optuna: Optuna's view of it.
        batch: Makes a block whose writes belong together; inside, they need not be visible.
        hold: Is told the right to search, held: from then on nothing is written without it, and a server that goes away
            is waited for longer.
    """

    optuna: BaseStorage
    batch: Callable[[], AbstractContextManager[None]]
    hold: Callable[[SearchLock], None]


def storage_exists(folder: StudyFolder) -> bool:
    """Tells whether there is a storage that may hold the study; nothing is made.

    Raises:
        StudyError: It cannot be reached.
    """
    if folder.database is None:
        return folder.journal.exists()
    from neurosearch.search.database import has_tables

    address = database_address(folder.database)
    if isinstance(address, SqliteAddress) and address.path.parent.is_dir() and not address.path.exists():
        return False
    return Patience(folder.database).run(lambda _: has_tables(address))


def check_rights(folder: StudyFolder) -> None:
    """Checks that studies can be written where this one is to be kept; nothing is written.

    Raises:
        StudyError: The server cannot be reached, or its role lacks rights.
    """
    address = None if folder.database is None else database_address(folder.database)
    if not isinstance(address, PostgresAddress):
        return
    from neurosearch.search.database import may_write

    if not Patience(str(folder.database)).run(lambda _: may_write(address)):
        raise StudyError(f"{folder.database} cannot be used: {lacking_rights(address)}.")


def open_storage(folder: StudyFolder) -> Storage:
    """Opens the storage that a study is kept in, which is made if there is none.

    Raises:
        StudyError: It cannot be used; says how to mend that.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study it opens
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # of broken connections we tell ourselves
    if folder.database is None:
        journal, storage = open_journal(folder.journal)
        return Storage(storage, journal.batch, lambda _: None)
    return _open_database(folder, folder.database)


def new_storage(folder: StudyFolder) -> Storage:
    """Opens the storage for a new study; what a search of this name left that ended before its first trial is removed.

    Only who holds the right to search may do this, after a look at whether the name is free.

    Raises:
        StudyError: It cannot be used; says how to mend that.
    """
    if folder.database is None:
        folder.journal.unlink(missing_ok=True)
        return open_storage(folder)
    storage = open_storage(folder)
    with suppress(KeyError):
        storage.optuna.delete_study(storage.optuna.get_study_id_from_name(folder.name))
    return storage


def stored_names(folder: StudyFolder) -> tuple[str, ...]:
    """Returns the names of all studies that are kept where this one is.

    Raises:
        StudyError: The storage cannot be used; says how to mend that.
    """
    if folder.database is None:
        return tuple(sorted(path.parent.name for path in folder.root.glob("*/study.journal")))
    if not storage_exists(folder):
        return ()
    return tuple(sorted(study.study_name for study in open_storage(folder).optuna.get_all_studies()))


def _open_database(folder: StudyFolder, name: str) -> Storage:
    from neurosearch.search.database import Database
    from neurosearch.search.patient import PatientStorage

    patience = Patience(name)
    database = patience.run(lambda _: Database(database_address(name)))
    patience.renew = database.engine.dispose

    def hold(lock: SearchLock) -> None:
        patience.seconds = _SEARCH_SECONDS
        patience.afterword = f" Nothing is lost: once it can, go on with `{folder.command('resume')}`."
        patience.guard = database.guard = lock.ensure

    storage = PatientStorage(get_storage(database), patience)
    finalize(storage, database.engine.dispose)  # closes the connections, which the pool would leave to the server
    return Storage(storage, _one_by_one, hold)


@contextmanager
def _one_by_one() -> Iterator[None]:
    """A batch of a storage that writes each operation for itself."""
    yield
