"""Ends a worker that says nothing any more, so that a hang costs one trial and never the study.

A process that hangs cannot be asked to look at the clock: Python's lock may be held for good, by a deadlock in a
library or a device that never answers. The watchdog is a thread in C that needs no lock: it writes where every thread
of Python stands, and ends the process. Whoever waits for the process notices its death, as that of any other.
"""

import faulthandler
import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")


def watched(updates: Generator[_T, None, None], path: Path, seconds: float | None) -> Generator[_T, None, None]:
    """Yields the same, and ends the process if the next one is longer in the making than `seconds`.

    The time that the caller is busy with one does not count. There is one clock per process, so only one generator of
    a process may be watched at a time.

    Args:
        updates: What is watched; closed with this one.
        path: Where the stacks go when the time is up; removed if it never is.
        seconds: Longest silence; None for no limit.
    """
    try:
        if seconds is None:
            yield from updates
            return
        with _opened(path) as file:  # before all, because when the time is up nothing can be opened any more
            while True:
                faulthandler.dump_traceback_later(seconds, exit=True, file=file)
                try:
                    update = next(updates)
                except StopIteration:
                    break
                finally:
                    faulthandler.cancel_dump_traceback_later()
                yield update
    finally:
        updates.close()
        with suppress(OSError):
            path.unlink()


def silence_words(path: Path) -> str | None:
    """Returns why a watched process is dead, if its watchdog ended it; None if something else did.

    Args:
        path: Where its stacks would be.
    """
    try:
        stacks = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if not stacks.startswith("Timeout ("):  # what faulthandler begins with
        return None
    return _words(f"Where it stood: {path}.")


def unseen_silence_words() -> str:
    """Returns the same of a process whose stacks are out of sight."""
    return _words("Where it stood is written in its node's cache, in hang.txt of the trial's folder.")


def _words(where: str) -> str:
    return (
        f"it said nothing for longer than search.silence_seconds allows, so its process was ended. {where} If an epoch "
        "may take so long, raise search.silence_seconds."
    )


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError:  # a full disk, say: the hang must still end, if without a word on where it was
        return Path(os.devnull).open("wb")
