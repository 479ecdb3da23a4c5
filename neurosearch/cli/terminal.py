"""The terminal that a screen is drawn on: how large it is now, what else may write to it, and what if it disappears.

While it is drawn on, whatever anybody prints in this process or below it (Ray, MLflow, C++ libraries) goes to a log
file. A terminal may disappear: its window is closed, its connection is lost. A search then goes on without it, as long
trainings should; `status --watch` shows it elsewhere and `stop` ends it. What would have been printed goes to the log.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.live import Live

    from neurosearch.cli.screen import Screen

_REFRESH_SECONDS = 0.5
#: What writing to a terminal or into a pipe fails with when nobody is there any more.
GONE = (errno.EIO, errno.EPIPE, errno.ENXIO, errno.EBADF)
_OUTPUTS = (1, 2)


def can_draw() -> bool:
    """Tells whether what is printed goes to a terminal on which a screen can be drawn."""
    return can_draw_on(sys.stdout)


def can_draw_on(stream: TextIO) -> bool:
    """Tells whether a stream goes to such a terminal."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def outliving_the_terminal() -> Iterator[None]:
    """Lets this process, and those that it starts in the block, live on when their terminal disappears."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr) if stream):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # ignored, not handled: Ray's processes inherit that
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def print_into(log: Path, *outputs: int) -> None:
    """Sends what this process prints from now on to a file.

    Args:
        log: The file; what is there already is kept.
        outputs: Descriptors of the outputs to send there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for output in outputs:
        os.dup2(descriptor, output)
    os.close(descriptor)


@contextmanager
def showing(look: "Callable[[], Screen]", log: Path | None, gone: str) -> Iterator[Callable[[], bool]]:
    """Draws a screen again and again inside the block; the terminal is as it was afterwards.

    Args:
        look: Returns what to show; called from a thread of its own.
        log: Where everything goes meanwhile that others print; None: nobody else prints.
        gone: What to print there if the terminal disappears.

    Yields:
        A function that tells whether the terminal is still there.
    """
    sys.stdout.flush()
    own = os.dup(sys.stdout.fileno())
    drawer = _Drawer(look, own, gone)
    try:
        with _printing_into(log, lambda: drawer.is_there):
            drawer.start()
            try:
                yield lambda: drawer.is_there
            finally:
                drawer.stop()
    finally:
        drawer.close()


@contextmanager
def _printing_into(log: Path | None, is_there: Callable[[], bool]) -> Iterator[None]:
    """Sends what is printed to a file; afterwards back to where it went, except to a terminal that is gone."""
    if log is None:
        yield
        return
    was_terminal = {output: os.isatty(output) for output in _OUTPUTS}
    saved = {output: os.dup(output) for output in _OUTPUTS}
    sys.stderr.flush()
    print_into(log, *_OUTPUTS)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for output, descriptor in saved.items():
            if is_there() or not was_terminal[output]:
                os.dup2(descriptor, output)
            os.close(descriptor)


class _Drawer:
    """A thread that draws on a terminal until it is stopped, or the terminal is gone."""

    def __init__(self, look: "Callable[[], Screen]", descriptor: int, gone: str) -> None:
        self.is_there = True
        self._gone = gone
        self._look = look
        self._descriptor = descriptor
        self._file = os.fdopen(descriptor, "w", encoding=sys.stdout.encoding, errors="replace")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def close(self) -> None:
        """Closes our end; what a lost terminal did not take is dropped."""
        if not self.is_there:
            with suppress(OSError):
                self._file.close()
            return
        self._file.close()

    def _run(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # The environment says whether there is colour: NO_COLOR, TERM.
        console = Console(file=self._file, force_terminal=True, highlight=False, markup=False)
        with suppress(OSError):
            console.size = os.get_terminal_size(self._descriptor)
        live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        try:
            self._draw(live)
        except OSError as error:
            if error.errno not in GONE:
                raise
            self.is_there = False
            if self._gone:
                sys.stderr.write(f"{self._gone}\n")

    def _draw(self, live: "Live") -> None:
        from neurosearch.cli.drawing import Drawing

        with live:
            is_last = False
            while True:
                # Asked each time, so that a terminal may be resized; rich would ask one that we may have redirected.
                live.console.size = os.get_terminal_size(self._descriptor)
                live.update(Drawing(self._look()), refresh=True)
                if is_last:
                    return
                is_last = self._stopped.wait(_REFRESH_SECONDS)
