"""The screen on a pseudo-terminal, drawn by a process of its own, as on a user's."""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 60
Terminal = Any  # of conftest.py

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


def test_a_screen_is_drawn_resized_and_gone_afterwards_while_others_print_to_a_log(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal("-c", textwrap.dedent(PROGRAM))
    terminal.read_until(lambda shown: "starting" in shown)
    terminal.resize(100, 30)
    terminal.read_until(lambda _: any(len(frame) == 30 for frame in terminal.frames()))
    (tmp_path / "enough").touch()
    assert terminal.finish() == 0
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
    terminal.close()  # the window is closed: SIGHUP, and every write fails
    log = tmp_path / "logs/output.log"
    end = time.monotonic() + _SECONDS
    while "gone" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    (tmp_path / "enough").touch()
    assert terminal.process.wait(_SECONDS) == 0
    assert (tmp_path / "ended").exists()
    assert log.read_text().splitlines()[-2:] == ["gone, but it goes on", "the report"]
