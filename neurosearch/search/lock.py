"""The right to search: one process at a time hands out the trials of a study."""

import fcntl
import os
import socket
import time
from pathlib import Path

from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05


class SearchLock:
    """A lock that the kernel lets go of when its process ends, however it ends."""

    def __init__(self, folder: StudyFolder) -> None:
        """Takes the lock of a study.

        Raises:
            StudyError: A living process holds it.
            OSError: The lock's file cannot be made.
        """
        file = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(file):
            holder = os.read(file, 1000).decode(errors="replace").strip()
            os.close(file)
            raise StudyError(
                f"the study {folder.name!r} is being searched already, by {holder or 'another process'}. "
                f"Watch it with `{folder.command('status')}`, or end it with `{folder.command('stop')}`."
            )
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._file: int | None = file

    @property
    def held(self) -> bool:
        """Whether it has not been released."""
        return self._file is not None

    def release(self) -> None:
        """Lets go of the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def holder(path: Path) -> str | None:
    """Returns which living process holds the lock, in its own words; None when none does."""
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
