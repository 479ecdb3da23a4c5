"""Kills everything that a search consists of, at random moments, and counts what is lost, doubled or different.

A search with early stopping runs through the command line on a Ray cluster of two nodes of this machine, with a real
MLflow server. Again and again one of the driver, a worker, the second node and the MLflow server gets SIGKILL; what
died is started again as a user would: `neurosearch resume`, `ray start`, `mlflow server`. When a search has ended, the
next one starts, until the kills are used up. All are deterministic and of one config, so each must end like the first,
which was left alone.

`lost`: trials that have no final state, or whose MLflow run misses an epoch. `doubled`: trials with more than one run,
and configs tried twice. `epochs_doubled`: steps that stand in a run more than once. `left_running`: runs that MLflow
believes to run when all is over. `same_study`: whether every search ended with the trials, states, values and front of
the first. `max_repeated_epochs`: most epochs that one trial had to train again after one kill; a checkpoint is kept
every epoch.

Usage: python benchmarks/faults.py [--kills 100] [--seed 0]
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fault_tools import (
    COMMAND,
    Process,
    answers,
    compared,
    descendants,
    difference,
    free_port,
    is_healthy,
    is_worker,
    outcome_of,
    wait_for,
)
from mlflow import MlflowClient

from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import StoredStudy

EPOCHS, TRIALS = 10, 12
KILLS_A_SEARCH = 12  # with more, a search would hardly train in between
ANY_MOMENT = 0.2  # share of kills that do not wait until a trial runs
MOST_SECONDS = 120  # that they wait
STUDY = """\
name: {name}
size_limit: {{parameters: 20000}}
data: {{kind: digits, imbalance: {{ratio: 20}}}}
model: {{kind: mlp, widths: {{search: choice, options: [[32], [64], [64, 32]]}}}}
training:
  epochs: {epochs}
  batch_size: 4
  learning_rate: {{search: log_uniform, low: 1e-4, high: 1e-1}}
growth:
  search: one_of
  options:
    - {{kind: static}}
    - {{kind: periodic, period_epochs: 3, grown_epochs: 1, grow_share: {{search: uniform, low: 0.25, high: 1.0}}}}
search:
  trials: {trials}
  concurrency: 2
  deterministic: true
  stopping: {{kind: halving, reduction: 2, first_share: 0.1}}
  finalists: 1
  fresh_seeds: 2
tracking: {{uri: "{uri}"}}
"""


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed when")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as root, machinery(Path(root)) as machines:
        print(json.dumps(measured(Path(root), machines, arguments.kills, random.Random(arguments.seed))))


def measured(root: Path, machines: "Machines", num_kills: int, chance: random.Random) -> dict[str, Any]:
    """Searches undisturbed once, then under kills until they are used up."""
    started = time.monotonic()
    first = Search(root, machines, "undisturbed")
    first.run([])
    reference = first.outcome()
    print(f"undisturbed: {len(reference)} trials in {time.monotonic() - started:.0f} s", file=sys.stderr)
    kills: list[str] = []
    figures: Counter[str] = Counter()
    same, repeated, number = True, 0, 0
    while len(kills) < num_kills:
        number += 1
        search = Search(root, machines, f"disturbed-{number}")
        search.run(kills, min(num_kills, len(kills) + KILLS_A_SEARCH), chance)
        is_same = search.outcome() == reference
        found = search.counted()
        figures.update(found)
        same, repeated = same and is_same, max(repeated, search.watch.most_repeated)
        print(f"{search.name}: {len(kills)} kills so far, same study {is_same}, {dict(found)}", file=sys.stderr)
        if not is_same:
            print(difference(reference, search.outcome()), file=sys.stderr)
    return {
        "kills": len(kills),
        "kills_by_target": dict(Counter(kills)),
        "searches": number,
        "trials_each": len(reference),
        **{name: figures[name] for name in ("lost", "doubled", "epochs_doubled", "left_running")},
        "same_study": same,
        "max_repeated_epochs": repeated,
        "seconds": round(time.monotonic() - started),
    }


class Machines:
    """Two Ray nodes and an MLflow server on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ray_port, self.mlflow_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        head = ["--head", f"--port={self.ray_port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
        self.head = self._ray(*head, "--num-cpus=1", f"--temp-dir={root / 'ray'}")
        wait_for(lambda: answers(self.ray_port), "the Ray head")
        self.node = self._second_node()
        self.mlflow = self._server()

    def kill_node(self) -> None:
        """Kills the second node and starts another."""
        self.node.kill()
        self.node = self._second_node()

    def kill_server(self) -> None:
        """Kills the MLflow server and starts it again on its database."""
        self.mlflow.kill()
        time.sleep(1)
        self.mlflow = self._server()

    def workers(self) -> list[int]:
        """Returns the ids of the processes that run trials."""
        return [pid for group in (self.head, self.node) for pid in descendants(group.pid) if is_worker(pid)]

    def end(self) -> None:
        """Kills everything."""
        for process in (self.node, self.head, self.mlflow):
            process.kill()

    def _second_node(self) -> Process:
        return self._ray(f"--address=127.0.0.1:{self.ray_port}", "--num-cpus=1", "--node-ip-address=127.0.0.1")

    def _ray(self, *words: str) -> Process:
        memory = f"--object-store-memory={100 * 2**20}"
        command = [str(Path(sys.executable).with_name("ray")), "start", *words, memory, "--block"]
        return Process(command, self.root / "ray.log", env=self.environment)

    def _server(self) -> Process:
        words = ["--backend-store-uri", f"sqlite:///{self.root / 'server.db'}", "--workers", "1"]
        words += ["--artifacts-destination", str(self.root / "files"), "--port", str(self.mlflow_port)]
        command = [sys.executable, "-m", "mlflow", "server", *words]
        return Process(command, self.root / "mlflow.log", env=self.environment, cwd=self.root)


@contextmanager
def machinery(root: Path) -> Iterator[Machines]:
    """Starts the machines; they end with the block."""
    machines = Machines(root)
    try:
        wait_for(lambda: is_healthy(machines.mlflow_port), "the MLflow server")
        yield machines
    finally:
        machines.end()
        shutil.rmtree(root / "ray", ignore_errors=True)


class Search:
    """One study, from its start to its end, through any number of kills."""

    def __init__(self, root: Path, machines: Machines, name: str) -> None:
        self.name = name
        self._root = root
        self._machines = machines
        self._uri = f"http://127.0.0.1:{machines.mlflow_port}"
        self._folder = StudyFolder(root / "runs", name)
        (root / f"{name}.yaml").write_text(STUDY.format(name=name, epochs=EPOCHS, trials=TRIALS, uri=self._uri))
        self.watch = CheckpointWatch(self._folder.path)

    def run(self, kills: list[str], most: int = 0, chance: random.Random | None = None) -> None:
        """Searches to the end; appends to `kills` what was killed."""
        with self.watch:
            driver = self._driver("search", str(self._root / f"{self.name}.yaml"), "--set", "storage.folder=runs")
            while driver.code is None or driver.code < 0 or len(kills) < most:
                if driver.code is not None and driver.code >= 0:
                    break
                if chance is None or len(kills) >= most:
                    time.sleep(0.2)
                    continue
                self._let_it_run(driver, chance)
                target = chance.choice(["driver", "worker", "worker", "node", "server"])
                if driver.code is not None or not self._killed(target, driver, chance):
                    continue
                kills.append(target)
                self.watch.after_a_kill()
                if target == "driver":
                    has_begun = self._folder.journal.exists() and self._has_trials()
                    driver = self._driver("resume", self.name) if has_begun else self._again()
        log = self._root / f"{self.name}.log"
        assert driver.code == 0, f"the search ended with exit code {driver.code}\n{log.read_text()[-3000:]}"

    def _let_it_run(self, driver: Process, chance: random.Random) -> None:
        """Waits for the moment of the next kill: mostly while trials run, now and then at any time, also of a start."""
        until = time.monotonic() + (0.0 if chance.random() < ANY_MOMENT else MOST_SECONDS)
        while driver.code is None and not self._machines.workers() and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(chance.uniform(0.2, 5.0))

    def outcome(self) -> list[Any]:
        """Returns what a study came to."""
        return outcome_of(StoredStudy(self._folder))

    def counted(self) -> Counter[str]:
        """Compares the study with MLflow."""
        return compared(StoredStudy(self._folder), MlflowClient(self._uri))

    def _killed(self, target: str, driver: Process, chance: random.Random) -> bool:
        match target:
            case "driver":
                driver.kill()
            case "worker":
                workers = self._machines.workers()
                if not workers:
                    return False
                try:
                    os.kill(chance.choice(workers), signal.SIGKILL)
                except ProcessLookupError:
                    return False
            case "node":
                self._machines.kill_node()
            case "server":
                self._machines.kill_server()
        return True

    def _has_trials(self) -> bool:
        try:
            return bool(StoredStudy(self._folder).frozen_trials())
        except ValueError:
            return False

    def _again(self) -> Process:
        return self._driver("search", str(self._root / f"{self.name}.yaml"), "--set", "storage.folder=runs")

    def _driver(self, *words: str) -> Process:
        command = [*COMMAND, *words, "--address", f"127.0.0.1:{self._machines.ray_port}"]
        log = self._root / f"{self.name}.log"
        return Process(command, log, env=self._machines.environment, cwd=self._root)


class CheckpointWatch:
    """Looks on as checkpoints appear, and counts those that appear twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, int] = {}
        self._repeated: Counter[Path] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most_repeated = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def after_a_kill(self) -> None:
        """Counts anew: what is repeated from here on is this kill's doing."""
        self._repeated.clear()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for path in self._folder.glob("trials/*/seed-*/checkpoint-*.pt"):
                try:
                    written = path.stat().st_mtime_ns
                except FileNotFoundError:  # replaced by a newer one
                    continue
                before = self._seen.setdefault(path, written)
                if before != written:
                    self._seen[path] = written
                    self._repeated[path.parent] += 1
                    self.most_repeated = max(self.most_repeated, self._repeated[path.parent])


if __name__ == "__main__":
    main()
