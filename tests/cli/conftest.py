import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from neurosearch.cli.app import app
from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.study import Study, create_study
from neurosearch.search.trial import trial_updates

TINY: dict[str, Any] = {
    "name": "tiny",
    "size_limit": {"parameters": 2000},
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[8], [12], [64]]}},
    "training": {"epochs": 2, "learning_rate": 0.01},
    "growth": {"kind": "static"},
    "search": {"trials": 3},
    "tracking": {"enabled": False},
}


@dataclass(frozen=True)
class Typed:
    """What came of a typed command."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        facts: dict[str, Any] = json.loads(line)
        return facts


@pytest.fixture
def type_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Typed]:
    """Types a command in a fresh working directory."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Typed:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Typed(done.exit_code, done.stdout, done.stderr)

    return run


def _tiny(**sections: Any) -> StudyConfig:
    return study_from_mapping({**TINY, **sections}, "tiny")


def _start(root: Path, **sections: Any) -> Study:
    config = _tiny(**sections)
    return create_study(StudyFolder(root, config.study.name), config)


@pytest.fixture
def tiny() -> Callable[..., StudyConfig]:
    """Makes a config of three trials of two epochs each; sections can be replaced."""
    return _tiny


@pytest.fixture
def start() -> Callable[..., Study]:
    """Starts such a study in a folder."""
    return _start


def _run_trials(study: Study, most: int = 99) -> None:
    """Runs trials one after the other in this process, as a worker would."""
    for _ in range(most):
        trial = study.ask()
        if trial is None:
            study.conclude()
            return
        candidates = study.config.study.search.candidates == "at_rest"
        leased = LeasedTrial(trial.number, trial.role, dict(trial.config), trial.seeds, (), candidates)
        for update in trial_updates(leased, study.stored.folder, "cpu"):
            study.report(trial.number, update.records)
            if update.outcome is not None:
                study.tell(trial.number, update.outcome)


@pytest.fixture
def run_trials() -> Callable[..., None]:
    """Runs trials of a study one after the other in this process."""
    return _run_trials


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose three trials have ended, one of them above the size limit."""
    root = tmp_path_factory.mktemp("runs")
    study = _start(root)
    _run_trials(study)
    study.close()
    return root


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of which one trial has ended and one was left behind by a killed process."""
    root = tmp_path_factory.mktemp("unfinished")
    study = _start(root)
    _run_trials(study, most=1)
    study.ask()
    study.close()
    return root


TEXT = """\
name: tiny
size_limit: {parameters: 2000}
data: {kind: digits, imbalance: {ratio: 20}}
model: {kind: mlp, widths: [8]}
training: {epochs: 2}
growth: {kind: static}
search: {trials: 2}
"""


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a config whose given sections stand at its end."""

    def write(**replaced: str) -> Path:
        lines = [f"{name}: {value}" for name, value in replaced.items()]
        kept = [line for line in TEXT.splitlines() if line.partition(":")[0] not in replaced]
        path = tmp_path / "tiny.yaml"
        path.write_text("\n".join([*kept, *lines]))
        return path

    return write


_SECONDS = 60

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

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def close(self) -> None:
        """Closes our end, once: by a second time its number may be another file's."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

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

    def finish(self) -> int:
        """Reads until the process has ended, whoever else still holds the terminal; returns the exit code."""
        end = time.monotonic() + 4 * _SECONDS
        while self.process.poll() is None and self.read():
            assert time.monotonic() < end, self.shown
        code = self.process.wait(_SECONDS)
        while select.select([self.descriptor], [], [], 0)[0] and self.read():
            pass
        return code

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
        each.close()
