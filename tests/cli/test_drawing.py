import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from neurosearch.cli.drawing import Drawing, drawn
from neurosearch.cli.screen import RunningTrial, Screen
from neurosearch.search.candidates import Candidate
from neurosearch.search.seams import TrialSummary

METRICS = {"balanced_accuracy": 0.912345, "parameters": 5432.0, "neurons": 48.0}
BEST = TrialSummary(
    number=7,
    role="search",
    kind="periodic",
    state="finished",
    values=(0.912345, 48.0),
    per_seed=(METRICS,),
    seeds=(3,),
    params={"training.learning_rate": 0.0123456, "model.widths": [16, 32]},
    config={"growth": {"kind": "periodic"}, "training": {"epochs": 30}},
    metrics=METRICS,
    epochs=30,
    seconds=3.21,
    reason=None,
    run_id=None,
    started=0.0,
    ended=3.21,
)
LOGS = Path("runs/my-study/logs")
SCREEN = Screen(
    name="my-study",
    state="searching",
    counts={"running": 2, "finished": 5, "infeasible": 1, "stopped": 0, "failed": 1},
    trials_used=9,
    trials=20,
    seconds=125.0,
    seconds_limit=3600.0,
    seconds_left=240.0,
    metrics=("balanced_accuracy", "neurons"),
    size_metric="neurons",
    best=BEST,
    front=(
        Candidate(7, "periodic", None, (0.912345, 48.0), 0.0, 3.21),
        Candidate(3, "nimble", 4, (0.8, 12.0), 0.0, 9.0),
    ),
    running=(
        RunningTrial(
            8, "nimble", "search", 12, 30, tuple(i / 12 for i in range(12)), tuple(60.0 - i for i in range(12))
        ),
        RunningTrial(9, "static", "search", 0, 30, (), ()),
    ),
    failures=((4, "memory ran out: 7.9 GB of its machine's 8.0 GB were in use. Lower search.concurrency."),),
    notes=("MLflow at http://there cannot be written to; trials go on, and it is tried again: no answer",),
    work=(),
    logs=(LOGS / "ray.log", LOGS / "mlflow.log", LOGS / "output.log"),
    commands=("neurosearch status my-study --watch", "neurosearch stop my-study"),
    is_own=True,
)


def written(screen: Screen, width: int, height: int = 30, **kept: Any) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, legacy_windows=False, **kept)
    with console.capture() as capture:
        console.print(Drawing(screen))
    return capture.get()


@pytest.mark.parametrize("width", [60, 200])
def test_everything_is_there_at_any_width(width: int) -> None:
    text = written(SCREEN, width, no_color=True, color_system=None)
    for words in (
        "my-study  searching",
        "9 of 20",
        "2 running, 5 finished, 1 infeasible, 1 failed",
        "2 min 5 s of at most 1 h, left: about 4 min",
        "trial 7, periodic, balanced_accuracy 0.9123",
        "5,432 parameters, 48 neurons",
        "training.learning_rate 0.01235",
        "2 not dominated, by balanced_accuracy, neurons",
        "3 nimble   0.8000  12",
        "8 nimble   12/30",
        " 0.9167 ",
        "▁ 49",
        "trial 4: memory ran out",
        "MLflow at http://there cannot be written to",
        "ray.log, mlflow.log, output.log",
        "neurosearch status my-study --watch",
    ):
        assert words in text, words
    assert max(len(line) for line in text.splitlines()) <= width


def test_a_wide_terminal_has_longer_courses_and_names_them() -> None:
    narrow, wide = (written(SCREEN, width, no_color=True, color_system=None) for width in (60, 200))
    course = "▁▂▂▃▄▄▅▅▆▇▇█"
    assert course in wide
    assert course not in narrow
    assert course[::-1] in wide
    assert "▁" in narrow


def test_without_colour_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m" in written(SCREEN, 80, color_system="standard", _environ={})
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any(f"\x1b[{colour}m" in written(SCREEN, 80, color_system="standard") for colour in range(30, 48))


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = drawn(SCREEN, 60, 30, unicode=False)
    assert all(line.plain.isascii() for line in lines)


@settings(deadline=None)
@given(width=st.integers(20, 250), height=st.integers(1, 60), trials=st.integers(0, 40), failed=st.integers(0, 20))
def test_it_never_is_larger_than_the_terminal(width: int, height: int, trials: int, failed: int) -> None:
    screen = replace(SCREEN, running=SCREEN.running[:1] * trials, failures=SCREEN.failures * failed)
    lines = drawn(screen, width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width and "\n" not in line.plain for line in lines)


def test_what_is_left_out_is_counted_and_every_list_keeps_its_start() -> None:
    screen = replace(SCREEN, running=SCREEN.running[:1] * 50, failures=SCREEN.failures * 20, front=SCREEN.front * 20)
    text = "\n".join(line.plain for line in drawn(screen, 80, 24))
    assert "more lines" in text
    for label in ("front", "running", "logs", "stop"):
        assert f"\n{label}" in text, label


def test_before_anything_is_known_it_says_so() -> None:
    empty = replace(
        SCREEN,
        state="starting",
        counts=dict.fromkeys(SCREEN.counts, 0),
        trials_used=0,
        seconds_left=None,
        best=None,
        front=(),
        running=(),
        failures=(),
        notes=(),
        work=(),
    )
    text = "\n".join(line.plain for line in drawn(empty, 60, 24))
    assert "0 of 20" in text
    assert "none yet" in text
    assert "left: not measured yet" in text
    assert "nothing feasible yet" in text
    assert "failed" not in text


def test_a_stop_says_what_comes_next() -> None:
    text = "\n".join(line.plain for line in drawn(replace(SCREEN, state="stopping"), 80, 30))
    assert "running trials end their epoch; Ctrl-C again: at once" in text
    watched = "\n".join(line.plain for line in drawn(replace(SCREEN, is_own=False), 80, 30))
    assert "Ctrl-C" not in watched
    assert "neurosearch stop my-study" in watched


def test_long_work_stands_below_the_time_while_it_goes_on():
    lines = written(replace(SCREEN, work=("fetching from S3: 34%",)), 80).splitlines()
    below = next(index for index, line in enumerate(lines) if "left:" in line) + 1
    assert "fetching from S3: 34%" in lines[below]
    assert "fetching" not in written(SCREEN, 80)


def test_a_latency_has_its_digits() -> None:
    metrics = ("latency_seconds", "neurons")
    running = (RunningTrial(8, "nimble", "search", 2, 30, (0.00005, 0.0000412), (60.0, 59.0)),)
    best = replace(BEST, values=(0.0000401, 48.0))
    front = (Candidate(7, "periodic", None, (0.0000401, 48.0), 0.0, 3.21),)
    text = written(replace(SCREEN, metrics=metrics, best=best, front=front, running=running), 100)
    assert text.count("0.0401 ms") == 2
    assert "0.0412 ms" in text
