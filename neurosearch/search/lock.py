"""The right to search: one process at a time hands out the trials of a study.

The right is the kernel's lock on a file where the study lies on a disk, and the server's lock, which goes with its
connection, where it lies in PostgreSQL. Either ends with its process, however that ends.
"""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Protocol

from neurosearch.config.database import PostgresAddress, SqliteAddress, database_address
from neurosearch.search.errors import SearchedAlready, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.mishaps import missing_folder
from neurosearch.search.patience import Patience

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05


class SearchLock(Protocol):
    """The right to search a study, which ends with its process, however that ends."""

    @property
    def held(self) -> bool:
        """Whether it has not been released."""

    def ensure(self) -> None:
        """Makes sure that the lock is held still: one that went with a broken connection is taken again.

        Raises:
            RightLost: Another process has it.
        """

    def release(self) -> None:
        """Lets go of the lock; again, does nothing."""


def search_lock(folder: StudyFolder) -> SearchLock:
    """Takes the right to search a study.

    Raises:
        SearchedAlready: A living process holds it.
        StudyError: The server that keeps it cannot be reached.
        OSError: The lock's file cannot be made.
    """
    address = _server(folder)
    lock: SearchLock | None
    if address is None:
        _check_folder(folder)
        lock = FileLock.taken(_file(folder))
    else:
        from neurosearch.search.server_lock import ServerLock

        lock = Patience(str(folder.database)).run(lambda _: ServerLock.taken(address, folder.name, this_process()))
    if lock is None:
        raise SearchedAlready(
            f"the study {folder.name!r} is being searched already, by {holder(folder) or 'another process'}. "
            f"Watch it with `{folder.command('status')}`, or end it with `{folder.command('stop')}`."
        )
    return lock


def holder(folder: StudyFolder) -> str | None:
    """Returns which living process searches a study, in its own words; None when none does.

    Raises:
        StudyError: The server that keeps the lock cannot be reached.
    """
    address = _server(folder)
    if address is None:
        return _file_holder(_file(folder))
    from neurosearch.search.server_lock import server_holder

    return Patience(str(folder.database)).run(lambda _: server_holder(address, folder.name))


def this_process() -> str:
    """Returns the words by which others know this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class FileLock:
    """A lock that the kernel lets go of when its process ends."""

    def __init__(self, file: int) -> None:
        """Takes a locked file."""
        self._file: int | None = file

    @classmethod
    def taken(cls, path: Path) -> "FileLock | None":
        """Takes the lock; None when another process holds it."""
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(file):
            os.close(file)
            return None
        os.ftruncate(file, 0)
        os.write(file, f"{this_process()}\n".encode())
        return cls(file)

    @property
    def held(self) -> bool:
        """Whether it has not been released."""
        return self._file is not None

    def ensure(self) -> None:
        """Does nothing: the kernel takes no lock away."""

    def release(self) -> None:
        """Closes the file, and the lock goes with it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _server(folder: StudyFolder) -> PostgresAddress | None:
    """Returns the server that keeps the lock; None where a file does."""
    address = None if folder.database is None else database_address(folder.database)
    return address if isinstance(address, PostgresAddress) else None


def _check_folder(folder: StudyFolder) -> None:
    address = None if folder.database is None else database_address(folder.database)
    missing = missing_folder(address) if isinstance(address, SqliteAddress) else None
    if missing is not None:
        raise StudyError(f"{folder.database} cannot be used: {missing}.")


def _file(folder: StudyFolder) -> Path:
    """Returns the lock's file: beside the trials, for the same study may be opened with several folders."""
    address = None if folder.database is None else database_address(folder.database)
    if not isinstance(address, SqliteAddress):
        return folder.lock
    return address.path.with_name(f"{address.path.name}.{folder.name}.lock")


def _file_holder(path: Path) -> str | None:
    """Returns who holds the lock; reading is enough to ask, so that others may look at a study that is not theirs."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except PermissionError:
        return f"another process, if any: {path} may not be read by this user"
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(file, 1000).decode(errors="replace").strip() or "another process"
    finally:
        os.close(file)
    return None


def _locked(file: int) -> bool:
    """Takes the lock; tried again for a moment, because who asks for the holder holds it for an instant."""
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False
