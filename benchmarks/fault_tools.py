"""What the benchmarks that kill things share: processes in groups, waiting, and comparing what a study came to."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from neurosearch.names import STEPS
from neurosearch.search.stored import StoredStudy

COMMAND = [sys.executable, "-c", "from neurosearch.cli import main; main()"]
UP_SECONDS = 120


class Process:
    """A process in a group of its own, which is killed as a whole."""

    def __init__(self, words: list[str], log: Path, **more: Any) -> None:
        with log.open("ab") as file:
            self._popen = subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True, **more)

    def kill(self) -> None:
        """Kills the group, whatever is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._popen.poll()

    @property
    def pid(self) -> int:
        """Its id."""
        return self._popen.pid


def outcome_of(study: StoredStudy) -> list[Any]:
    """Returns what a study came to, whatever its name and however long it took."""
    front = {each.trial for each in study.reached().front}
    return [
        (
            trial.number,
            trial.role,
            trial.state,
            trial.values,
            trial.epochs,
            dict(trial.params),
            trial.number in front,
        )
        for trial in study.trials()
    ]


def compared(study: StoredStudy, client: MlflowClient) -> Counter[str]:
    """Counts what a study and MLflow tell differently, and what is there twice."""
    trials = study.trials()
    experiment = client.get_experiment_by_name("neurosearch")
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.`neurosearch.study` = '{study.folder.name}'", max_results=1000
    )
    by_trial: dict[int, list[Any]] = {}
    for run in runs:
        if "neurosearch.trial" in run.data.tags:
            by_trial.setdefault(int(run.data.tags["neurosearch.trial"]), []).append(run)
    found: Counter[str] = Counter()
    found["left_running"] = sum(run.info.status == "RUNNING" for run in runs)
    found["doubled"] = sum(len(each) - 1 for each in by_trial.values())
    configs = Counter(json.dumps([trial.config, trial.seeds], sort_keys=True) for trial in trials)
    found["doubled"] += sum(count - 1 for count in configs.values())
    for trial in trials:
        steps = Counter[int]()
        for run in by_trial.get(trial.number, []):
            steps.update(metric.step for metric in client.get_metric_history(run.info.run_id, STEPS))
        found["epochs_doubled"] += sum(count - 1 for count in steps.values())
        found["lost"] += trial.state == "running" or set(steps) != set(range(1, trial.epochs + 1))
    return found


def difference(expected: list[Any], found: list[Any]) -> str:
    """Returns the first trials that differ."""
    pairs = [f"{one}\n    {other}" for one, other in zip(expected, found, strict=False) if one != other]
    return f"  {len(expected)} trials, now {len(found)}\n  " + "\n  ".join(pairs[:2])


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Tells whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def is_healthy(port: int) -> bool:
    """Tells whether an MLflow server answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def wait_for(holds: Any, what: str) -> None:
    """Waits until something is up."""
    deadline = time.monotonic() + UP_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come up"
        time.sleep(0.2)


def descendants(pid: int) -> Iterator[int]:
    """Yields the ids of all processes below one."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def is_worker(pid: int) -> bool:
    """Tells whether a process runs trials."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    # Ray names its processes by what they run; Tune wraps our worker in a class of this name.
    return title.startswith((b"ray::TrialWorker", b"ray::ResourceTrainable"))
