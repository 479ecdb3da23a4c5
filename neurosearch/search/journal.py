"""The file behind a study: Optuna's journal, made safe against kills.

Optuna's own file backend locks by a link that a killed process leaves behind (the next one waits 30 s for it), breaks
for good when a kill tears the last line, and forces every single value to the disk. Here the lock is the kernel's and
goes with its process, a torn line is cut off before the next is written, and what belongs together is written at once.
"""

import fcntl
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from neurosearch.search.errors import StudyError

_BLOCK, _LONGEST_LINE = 4096, 2**22
# What Optuna raises on lines that are no operations, or that belong to no study.
_NO_JOURNAL = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, OptunaError)


class Journal(BaseJournalBackend):
    """A journal file with one line of JSON for each operation."""

    def __init__(self, path: Path) -> None:
        """Takes a file; it is made if there is none."""
        self._path = path
        self._reader = JournalFileBackend(str(path))
        self._pending: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yields the operations from this number on; a line that is being written, or torn, is not yielded."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Writes operations and forces them to the disk; inside `batch`, at its end.

        Raises:
            OSError: The disk is full, or the file cannot be written; what was there before is untouched.
        """
        if self._pending is not None:
            self._pending += logs
            return
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _cut_torn_line(file)
            try:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)
                raise

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collects what is appended and writes it in one piece at the end; nothing if the block raises.

        Inside, the storage does not see its own writes.
        """
        assert self._pending is None, "batches do not nest"
        self._pending = []
        try:
            yield
            logs = self._pending
        finally:
            self._pending = None
        if logs:
            self.append_logs(logs)


def _cut_torn_line(file: BinaryIO) -> int:
    """Truncates the file after its last whole line, which a kill may have left incomplete; returns its new end."""
    start = end = file.seek(0, os.SEEK_END)
    whole = 0
    while start > 0 and whole == 0:
        start = max(0, start - _BLOCK)
        file.seek(start)
        newline = file.read(_BLOCK).rfind(b"\n")
        whole = start + newline + 1 if newline >= 0 else 0
    if whole < end:
        file.truncate(whole)
    return file.seek(whole)


def _check_ends(path: Path) -> None:
    """Checks the first and the last whole line: Optuna passes over a last one that it cannot read, torn or not.

    Raises:
        ValueError: They are no operations.
        TypeError: The same.
    """
    with path.open("rb") as file:
        first = file.readline()
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE))
        *whole, _torn = file.read().split(b"\n")
    if not first.endswith(b"\n"):
        return  # its maker was killed at once
    for line in (first, whole[-1]):
        json.loads(line)["op_code"]


def open_journal(path: Path) -> tuple[Journal, JournalStorage]:
    """Opens the storage in a journal file, which is made if there is none; both are the same storage.

    Raises:
        StudyError: The file cannot be read, or is no journal; it is left as it is.
    """
    try:
        journal = Journal(path)
        _check_ends(path)
        return journal, JournalStorage(journal)
    except (IsADirectoryError, PermissionError) as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}. Mend that, then try again.") from error
    except _NO_JOURNAL as error:
        raise StudyError(
            f"{path} is no journal of a study, or is damaged. Restore it from a copy, or move it away and start the "
            "study under another name."
        ) from error
