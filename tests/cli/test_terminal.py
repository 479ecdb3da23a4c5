"""The screen on a pseudo-terminal, drawn by a process of its own, as on a user's."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_SECONDS = 60

PROGRAM = """
    import os, sys, time
    from pathlib import Path
    from neurosearch.cli.picture import Picture
    from neurosearch.cli.report import say
    from neurosearch.cli.terminal import outliving_the_terminal, showing
    from neurosearch.config.load import study_from_mapping
    from neurosearch.search.folders import StudyFolder

    study = study_from_mapping({"name": "shown", "data": {"kind": "digits"}, "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 2}, "growth": {"kind": "static"}}, "shown")
    picture = Picture(study, StudyFolder(Path("runs"), "shown"))
    with outliving_the_terminal():
        with showing(picture.look, Path("logs/output.log"), "gone, but it goes on"):
            print("what a library prints")
            os.system("echo what a child prints")
            while not Path("enough").exists():
                time.sleep(0.05)
        say("the report")
    Path("ended").touch()
"""


# Takes its input as the terminal that controls it, then runs what it is told in its place.
_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@dataclass
class Terminal:
    """A pseudo-terminal with a process on it."""

    process: "subprocess.Popen[bytes]"
    descriptor: int
    shown: str = field(default="")

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, is_so: Callable[[str], bool]) -> None:
        end = time.monotonic() + _SECONDS
        while not is_so(self.shown):
            assert time.monotonic() < end, self.shown
            self.read()

    def read(self) -> bool:
        """Reads what is new; returns whether there may be more."""
        ready, _, _ = select.select([self.descriptor], [], [], 0.2)
        try:
            new = os.read(self.descriptor, 65536) if ready else None
        except OSError:  # nobody has it open any more
            return False
        self.shown += "" if new is None else new.decode()
        return new != b""

    def frames(self) -> list[list[str]]:
        """Returns the lines of every picture drawn so far."""
        return [frame.split("\r\n") for frame in self.shown.split("\x1b[H")[1:]]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Runs a program on a terminal of 60 columns, in a folder of its own."""
    opened: list[Terminal] = []

    def run(*arguments: str, **environment: str) -> Terminal:
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        words = {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", **environment}
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", _OWN_TERMINAL, *arguments],
            cwd=tmp_path,
            env={**kept, **words},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        opened.append(Terminal(process, ours))
        opened[-1].resize(60, 20)
        return opened[-1]

    yield run
    for each in opened:
        each.process.kill()
        each.process.wait()
        with suppress(OSError):
            os.close(each.descriptor)


def finish(terminal: Terminal) -> int:
    while terminal.read():
        pass
    return terminal.process.wait(_SECONDS)


def test_a_screen_is_drawn_resized_and_gone_afterwards_while_others_print_to_a_log(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal("-c", textwrap.dedent(PROGRAM))
    terminal.read_until(lambda shown: "starting" in shown)
    terminal.resize(100, 30)
    terminal.read_until(lambda _: any(len(frame) == 30 for frame in terminal.frames()))
    (tmp_path / "enough").touch()
    assert finish(terminal) == 0
    assert terminal.shown.endswith("the report\r\n")
    assert terminal.shown.count("\x1b[?1049h") == terminal.shown.count("\x1b[?1049l") == 1
    assert "prints" not in terminal.shown
    log = (tmp_path / "logs/output.log").read_text()
    assert sorted(log.splitlines()) == ["what a child prints", "what a library prints"]


@pytest.mark.parametrize(("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_left_out_where_nobody_wants_it(
    open_terminal: Callable[..., Terminal], environment: dict[str, str], *, is_coloured: bool
) -> None:
    terminal = open_terminal("-c", textwrap.dedent(PROGRAM), **environment)
    terminal.read_until(lambda shown: shown.count("\x1b[H") > 2)
    assert ("\x1b[36m" in terminal.shown) == is_coloured


def test_a_terminal_that_disappears_takes_nothing_with_it(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal("-c", textwrap.dedent(PROGRAM))
    terminal.read_until(lambda shown: "starting" in shown)
    os.close(terminal.descriptor)  # the window is closed: SIGHUP, and every write fails
    log = tmp_path / "logs/output.log"
    end = time.monotonic() + _SECONDS
    while "gone" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    (tmp_path / "enough").touch()
    assert terminal.process.wait(_SECONDS) == 0
    assert (tmp_path / "ended").exists()
    assert log.read_text().splitlines()[-2:] == ["gone, but it goes on", "the report"]
