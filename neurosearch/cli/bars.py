"""How long work is shown: as bars on a terminal, elsewhere as a line now and then; what is quick is not shown at all.

Everything goes to the standard error output, as `--json` leaves the other one to the facts.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO

from neurosearch.cli.terminal import can_draw_on
from neurosearch.longwork import Work, told_to

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUICK_SECONDS = 0.5  # bars that come and go at once only flicker
_LINE_SECONDS = 10.0


@contextmanager
def showing_work() -> Iterator[None]:
    """Shows all long work inside."""
    stream = sys.stderr  # as it is now: some work sends what others print elsewhere
    if not can_draw_on(stream):
        with told_to(Lines(partial(_say, stream))):
            yield
        return
    bars = Bars(stream)
    try:
        with told_to(bars):
            yield
    finally:
        bars.close()


class Lines:
    """An audience that says a line of work that goes on for long, at most one in ten seconds.

    Args:
        say: Takes a line.
        every_seconds: How long work goes on in silence.
    """

    def __init__(self, say: Callable[[str], None], every_seconds: float = _LINE_SECONDS) -> None:
        self._say = say
        self._every = every_seconds
        self._said: dict[int, float] = {}

    def __call__(self, work: Work) -> None:
        """Says it if it is time."""
        now = time.monotonic()
        last = self._said.setdefault(work.key, now)
        if now - last >= self._every:
            self._said[work.key] = now
            self._say(work_words(work))
        if work.is_over:
            del self._said[work.key]


class Bars:
    """An audience that draws a bar for each piece of work, once that takes longer than a moment; it leaves no trace.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._latest: dict[int, Work] = {}
        self._tasks: dict[int, TaskID] = {}
        self._progress: Progress | None = None
        self._starter: threading.Timer | None = None

    def __call__(self, work: Work) -> None:
        """Draws it."""
        with self._lock:
            self._latest[work.key] = work
            if work.is_over:
                del self._latest[work.key]
            if self._progress is None:
                self._await_or_forget()
            else:
                self._draw(self._progress, work)

    def close(self) -> None:
        """Clears away what is drawn."""
        with self._lock:
            self._latest.clear()
            self._await_or_forget()
            self._stop()

    # With the lock held.

    def _await_or_forget(self) -> None:
        if self._latest and self._starter is None:
            self._starter = threading.Timer(_QUICK_SECONDS, self._start)
            self._starter.daemon = True
            self._starter.start()
        elif not self._latest and self._starter is not None:
            self._starter.cancel()
            self._starter = None

    def _draw(self, progress: "Progress", work: Work) -> None:
        if work.is_over:
            task = self._tasks.pop(work.key, None)
            if task is not None:
                progress.remove_task(task)
            if not self._latest:
                self._stop()
            return
        task = self._tasks.get(work.key)
        if task is None:
            self._tasks[work.key] = progress.add_task(work.what, total=work.total, completed=work.done)
        else:
            progress.update(task, completed=work.done)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
        self._tasks.clear()

    def _start(self) -> None:
        """Begins to draw; called by the timer, which holds no lock."""
        with self._lock:
            self._starter = None
            if not self._latest:
                return
            self._progress = _progress(self._stream)
            for work in self._latest.values():
                self._draw(self._progress, work)
            self._progress.start()


def work_words(work: Work) -> str:
    """Tells how far long work is, such as `fetching from S3: 34 %, 1.2 of 3.4 GiB`."""
    if work.is_over:
        return f"{work.what}: done" if work.total in (None, work.done) else f"{work.what}: ended"
    if work.total is None:
        return f"{work.what}: {_amount(work.done, work.unit)}" if work.done else f"{work.what} ..."
    share = work.done / work.total if work.total else 1.0
    return f"{work.what}: {share:.0%}, {_amount(work.done, work.unit)} of {_amount(work.total, work.unit)}"


def _amount(count: float, unit: str) -> str:
    if unit != "bytes":
        return f"{count:,.0f} {unit}".rstrip()
    for prefix in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {prefix}"
        count /= 1024
    return f"{count:.3g} GiB"


def _progress(stream: TextIO) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(file=stream, highlight=False, markup=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


def _say(stream: TextIO, text: str) -> None:
    with suppress(OSError):  # who listened is gone, and the work goes on
        stream.write(f"{text}\n")
        stream.flush()
