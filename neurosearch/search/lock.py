"""The right to search: one process at a time hands out the trials of a study."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Protocol

from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05


class SearchLock(Protocol):
    """The right to search a study, which ends with its process, however that ends."""

    @property
    def held(self) -> bool:
        """Whether it has not been released."""

    def release(self) -> None:
        """Lets go of the lock; again, does nothing."""


def search_lock(folder: StudyFolder) -> SearchLock:
    """Takes the right to search a study.

    Raises:
        StudyError: A living process holds it.
        OSError: The lock's file cannot be made.
    """
    lock = _FileLock.taken(folder.lock)
    if lock is None:
        raise _searched_already(folder)
    return lock


def holder(folder: StudyFolder) -> str | None:
    """Returns which living process searches a study, in its own words; None when none does."""
    return _file_holder(folder.lock)


def this_process() -> str:
    """Returns the words by which others know this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class _FileLock:
    """A lock that the kernel lets go of when its process ends."""

    def __init__(self, file: int) -> None:
        """Takes a locked file."""
        self._file: int | None = file

    @classmethod
    def taken(cls, path: Path) -> "_FileLock | None":
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
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _searched_already(folder: StudyFolder) -> StudyError:
    return StudyError(
        f"the study {folder.name!r} is being searched already, by {holder(folder) or 'another process'}. "
        f"Watch it with `{folder.command('status')}`, or end it with `{folder.command('stop')}`."
    )


def _file_holder(path: Path) -> str | None:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
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
