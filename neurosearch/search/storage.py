"""Where a study is written: one seam over a journal file, a SQLite file and a PostgreSQL server.

The search sees Optuna's storage and `batch`. A journal writes a batch in one piece; a database writes each operation
for itself, in order, so whoever writes several puts the one that counts (the change of a trial's state) last.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from optuna.storages import BaseStorage

from neurosearch.search.folders import StudyFolder
from neurosearch.search.journal import open_journal


@dataclass(frozen=True)
class Storage:
    """An opened storage.

    Attributes:
        optuna: Optuna's view of it.
        batch: Makes a block whose writes belong together; inside, they need not be visible.
    """

    optuna: BaseStorage
    batch: Callable[[], AbstractContextManager[None]]


def storage_exists(folder: StudyFolder) -> bool:
    """Tells whether there is a storage that may hold the study; nothing is made."""
    return folder.journal.exists()


def open_storage(folder: StudyFolder) -> Storage:
    """Opens the storage that a study is kept in, which is made if there is none.

    Raises:
        StudyError: It cannot be used; says how to mend that.
    """
    journal, storage = open_journal(folder.journal)
    return Storage(storage, journal.batch)


@contextmanager
def one_by_one() -> Iterator[None]:
    """A batch of a storage that writes each operation for itself."""
    yield
