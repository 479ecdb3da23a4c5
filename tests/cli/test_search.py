"""The main job as a user runs it: whole processes, a local Ray cluster, real data."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXT = """\
name: main-job
size_limit: {parameters: 3000}
data: {kind: digits, imbalance: {ratio: 20}}
model: {kind: mlp, widths: {search: choice, options: [[8], [12], [16]]}}
training: {epochs: 4, learning_rate: {search: log_uniform, low: 1e-3, high: 1e-1}}
growth:
  search: one_of
  options:
    - {kind: static}
    - {kind: periodic, period_epochs: 2, grown_epochs: 1}
    - {kind: nimble}
search: {trials: 4, concurrency: 2, sampler: random}
"""
_SECONDS = 240

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work")
    (path / "main-job.yaml").write_text(TEXT)
    return path


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "neurosearch", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for a command and ends its whole family if it does not end by itself."""
    try:
        out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"it did not end within {_SECONDS} s:\n{out}\n{err}")
    return process.returncode, out, err


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture(scope="module")
def searched(folder: Path) -> tuple[dict[str, Any], str]:
    """Facts and progress of a whole search with tracking, from the config to the exported winner."""
    code, out, err = finish(command(folder, "search", "main-job.yaml", "--json"))
    assert code == 0, out + err
    (line,) = out.splitlines()
    facts: dict[str, Any] = json.loads(line)
    return facts, err


def test_a_search_ends_with_an_exported_winner_within_the_limit(searched: tuple[dict[str, Any], str]) -> None:
    facts, _ = searched
    assert sum(facts["counts"].values()) == 8, "four trials, two finalists, the control and an arm"
    assert facts["counts"]["failed"] == facts["counts"]["running"] == 0
    assert facts["winner"]["metrics"]["parameters"] <= 3000
    assert 0.3 < facts["winner"]["test"]["test/balanced_accuracy"] <= 1.0
    assert facts["control"]["kind"] == "static"
    assert facts["export"]["model"]["uri"] == "models:/main-job/1"
    assert max(facts["export"]["differences"].values()) <= 1e-5


def test_everything_that_happens_is_a_line_of_json_and_nobody_else_prints(searched: tuple[dict[str, Any], str]) -> None:
    _, progress = searched
    events = [json.loads(line) for line in progress.splitlines()]
    assert events[0]["event"] == "study"
    ended = [event for event in events if event["event"] == "trial_ended"]
    assert Counter(event["role"] for event in ended) == {"search": 4, "finalist": 2, "control": 1, "recycle": 1}
    epochs = {event["number"]: event["epoch"] for event in events if event["event"] == "epoch"}
    assert epochs == dict.fromkeys(range(4), 4) | dict.fromkeys(range(4, 8), 5 * 4), "on five fresh seeds"
    kinds = {"study", "note", "trial_started", "epoch", "trial_ended"}
    assert {event["event"] for event in events} <= kinds


def test_the_exported_network_predicts_without_the_study(folder: Path, searched: tuple[dict[str, Any], str]) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    facts, _ = searched
    np.savez(folder / "new.npz", x=load_digits().images[:30].astype(np.uint8))
    code, out, err = finish(command(folder, "predict", facts["export"]["folder"], "new.npz", "--json"))
    assert (code, err) == (0, "")
    assert len(json.loads(out)["predictions"]) == 30


def test_mlflow_missed_nothing(folder: Path, searched: tuple[dict[str, Any], str]) -> None:
    assert searched
    code, out, _ = finish(command(folder, "sync", "main-job", "--json"))
    assert (code, json.loads(out)["written"]) == (0, 0)


def test_the_same_name_again_is_refused_with_what_to_type(folder: Path, searched: tuple[dict[str, Any], str]) -> None:
    assert searched
    code, _, err = finish(command(folder, "search", "main-job.yaml"))
    assert code == 2
    assert "neurosearch resume main-job" in err


def test_ctrl_c_stops_cleanly_and_resume_goes_on(folder: Path) -> None:
    words = ("--set", "name=stopped", "--set", "training.epochs=400", "--set", "tracking.enabled=false")
    words += ("--set", "search.concurrency=1")
    process = command(folder, "search", "main-job.yaml", *words)
    checkpoints = folder / "runs" / "stopped" / "trials"
    wait_until(lambda: process.poll() is not None or any(checkpoints.glob("*/seed-0/checkpoint-*.pt")))
    os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches the whole group, Ray included
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert "stopped; running trials keep their checkpoints" in out
    assert out.splitlines()[-2] == "next: neurosearch resume stopped"
    before = _status(folder)
    assert before["counts"]["running"] > 0
    assert before["searched_by"] is None

    trials = f"search.trials={before['budget']['trials_used']}"
    words = ("--set", trials, "--set", "search.control=false", "--set", "search.finalists=0")
    code, out, err = finish(command(folder, "resume", "stopped", *words))
    assert (code, err) == (0, "")
    after = _status(folder)
    assert after["counts"]["running"] == after["counts"]["failed"] == 0
    assert [trial["params"] for trial in after["trials"]] == [trial["params"] for trial in before["trials"]]
    assert all(trial["epochs"] == 400 for trial in after["trials"])


def _status(folder: Path) -> dict[str, Any]:
    code, out, _ = finish(command(folder, "status", "stopped", "--json"))
    assert code == 0
    facts: dict[str, Any] = json.loads(out)
    return facts
