"""How long a study on a cluster takes to begin, and what tracking to a server costs its epochs.

`submit_seconds`: from `neurosearch submit` being typed until the first trial runs, that is, its worker has begun its
training, checks and plan included; the middle one of several, on a Ray head in token mode that has run a job before.
`first_epoch_seconds`: the same until its first epoch is on the disk. `first_job_seconds`: until then in the very first
job.

`epoch_p50_ratio`, `epoch_p99_ratio`: the median and the 99th percentile of an epoch with an MLflow server being told
everything, divided by the same without. An epoch lasts from one report of a trial to its next, as the searching process
hears them, so waiting of any kind is in it. Searches with and without take turns, with 20 trials side by side each; the
first epoch of a trial, in which others still start, is left out. The MLflow server and the searching process run on
this machine, too: what they compute is taken from the trials.

Usage: python benchmarks/submit.py [--submits 5] [--rounds 3] [--epochs 8] [--trials 20] [--quick]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from neurosearch.search.folders import StudyFolder
from tests import mlflow_server
from tests.ray_cluster import Cluster

COMMAND = [sys.executable, "-m", "neurosearch"]
WAIT_SECONDS = 300
SMALL = """\
name: {name}
size_limit: {{parameters: 3000}}
data: {{kind: digits, imbalance: {{ratio: 20}}}}
model: {{kind: mlp, widths: {{search: choice, options: [[8], [12], [16]]}}}}
training: {{epochs: 20, learning_rate: {{search: log_uniform, low: 1e-3, high: 1e-1}}}}
growth:
  search: one_of
  options: [{{kind: static}}, {{kind: periodic, period_epochs: 4, grown_epochs: 2}}]
search: {{trials: 2, concurrency: 2, finalists: 0, control: false, arms: []}}
tracking: {{enabled: false}}
storage: {{folder: {folder}/runs}}
"""
LARGE = """\
name: {name}
data: {{kind: npz, path: images.npz}}
model: {{kind: cnn, widths: [16, 32]}}
training: {{epochs: {epochs}, batch_size: 64, learning_rate: {{search: log_uniform, low: 1e-3, high: 1e-2}}}}
growth: {{kind: static}}
search: {{trials: {trials}, concurrency: {trials}, sampler: random, finalists: 0, control: false, arms: []}}
tracking: {tracking}
storage: {{folder: {folder}/runs}}
"""


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submits", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="searches with, and as many without tracking")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--trials", type=int, default=20, help="side by side")
    parser.add_argument("--quick", action="store_true", help="2 submits, one round of 4 trials of 3 epochs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.submits, arguments.rounds, arguments.epochs, arguments.trials = 2, 1, 3, 4
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="submit-") as folder:
        if arguments.submits:
            found |= submits(Path(folder), arguments.submits)
        if arguments.rounds:
            found |= epochs(Path(folder), arguments.rounds, arguments.trials, arguments.epochs)
    print(json.dumps({**found, "load": os.getloadavg()}))


def submits(folder: Path, count: int) -> dict[str, Any]:
    """Submits one study after the other to a cluster, the first one to warm it."""
    with cluster(cpus=2) as there:
        seconds = [submitted(folder, there, f"submitted-{number}") for number in range(count + 1)]
    print(f"submits: {[(round(runs, 2), round(epoch, 2)) for runs, epoch in seconds]} s", file=sys.stderr)
    first, *warm = seconds
    runs, epoch = np.median(warm, axis=0)
    return {
        "submit_seconds": round(float(runs), 2),
        "longest_submit_seconds": round(max(runs for runs, _ in warm), 2),
        "first_epoch_seconds": round(float(epoch), 2),
        "first_job_seconds": round(first[1], 2),
    }


def submitted(folder: Path, there: Cluster, name: str) -> tuple[float, float]:
    """Submits a study and waits for its job to end.

    Returns:
        Seconds until the first trial runs, and until its first epoch is on the disk.
    """
    config = folder / f"{name}.yaml"
    config.write_text(SMALL.format(name=name, folder=folder))
    study, started = StudyFolder(folder / "runs", name), time.monotonic()
    trial = study.trial(0)
    words = [*COMMAND, "submit", str(config), "--address", there.url, "--json"]
    with subprocess.Popen(words, env=there.environment, stdout=subprocess.PIPE, text=True) as process:
        until_time(lambda: study.stacks(0).exists() or process.poll())
        runs = time.monotonic() - started
        until_time(lambda: any(trial.rglob("*.pt")) or process.poll())
        epoch = time.monotonic() - started
        facts = json.loads(process.communicate()[0])
    until_time(lambda: there.get(f"/api/jobs/{facts['job']}")["status"] not in ("PENDING", "RUNNING"))
    return runs, epoch


def epochs(folder: Path, rounds: int, trials: int, num_epochs: int) -> dict[str, Any]:
    """Searches with and without tracking in turns, in changing order."""
    write_images(folder / "images.npz")
    server = mlflow_server.Server(folder / "mlflow")
    server.start()
    found: dict[bool, list[float]] = {True: [], False: []}
    by_round = []
    try:
        with cluster(cpus=trials) as there:
            for number in range(rounds):
                pair = {}
                for tracked in (True, False) if number % 2 else (False, True):
                    tracking = f'{{uri: "{server.uri}"}}' if tracked else "{enabled: false}"
                    name = f"{'with' if tracked else 'without'}-{number}"
                    config = folder / f"{name}.yaml"
                    text = LARGE.format(name=name, folder=folder, tracking=tracking, epochs=num_epochs, trials=trials)
                    config.write_text(text)
                    pair[tracked] = epoch_seconds(there, config)
                    found[tracked] += pair[tracked]
                    print(f"{name}: {described(pair[tracked])}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
                by_round.append(ratios(pair))
    finally:
        server.kill()
    p50, p99 = ratios(found)
    return {
        "epoch_p50_ratio": p50,
        "epoch_p99_ratio": p99,
        "epoch_ratios_by_round": by_round,
        "epochs_each": len(found[True]),
        "epoch_p50_seconds": round(float(np.percentile(found[False], 50)), 2),
        "trials_side_by_side": trials,
    }


def epoch_seconds(there: Cluster, config: Path) -> list[float]:
    """Searches and returns the seconds between each trial's reports, as they come in."""
    words = [*COMMAND, "search", str(config), "--address", there.address, "--progress", "json"]
    heard: dict[int, list[tuple[int, float]]] = {}
    with (
        config.with_suffix(".log").open("w") as log,
        subprocess.Popen(words, env=there.environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "epoch":
                heard.setdefault(event["number"], []).append((event["epoch"], time.monotonic()))
    assert process.returncode == 0, config.with_suffix(".log").read_text()
    return [
        (time_after - time_before) / (after - before)
        for reports in heard.values()
        for (before, time_before), (after, time_after) in pairwise(reports[1:])
    ]


def ratios(found: dict[bool, list[float]]) -> tuple[float, float]:
    """Returns median and 99th percentile with tracking, divided by those without."""
    p50, p99 = (
        float(np.percentile(found[True], share)) / float(np.percentile(found[False], share)) for share in (50, 99)
    )
    return round(p50, 4), round(p99, 4)


def described(seconds: Sequence[float]) -> str:
    """Tells how long epochs took."""
    p50, p99 = np.percentile(seconds, (50, 99))
    return f"{len(seconds)} epochs, median {p50:.2f} s, 99th percentile {p99:.2f} s"


def write_images(path: Path) -> None:
    """Writes images on which an epoch takes seconds."""
    rng = np.random.default_rng(0)
    y_train, y_test = rng.integers(0, 10, 8_000), rng.integers(0, 10, 500)
    images = {
        f"x_{part}": rng.integers(0, 256, (len(labels), 28, 28), np.uint8)
        for part, labels in (("train", y_train), ("test", y_test))
    }
    np.savez(path, y_train=y_train, y_test=y_test, **images)


@contextmanager
def cluster(cpus: int) -> Iterator[Cluster]:
    """Starts a head in token mode that ends with the block."""
    there = Cluster(cpus=cpus, OMP_NUM_THREADS="1")
    try:
        yield there
    finally:
        there.remove()


def until_time(is_so: Any) -> None:
    """Waits until something is so."""
    until = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


if __name__ == "__main__":
    main()
