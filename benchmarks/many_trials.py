"""A thousand trials that do nothing: what each costs in time and in driver memory, and what a suggestion costs.

The whole path runs: study, sampler (TPE, five hyperparameters), journal, desk, Ray Tune with warm workers, the files
of a trial, and tracking in MLflow on SQLite, which is waited for.

`trial_ms`: wall time from the end of the warm-up (a tenth) to the last end, over the trials in between.
`driver_kib_per_trial`: growth of the driver's resident memory over the same trials.
`suggest_ms`: median time of one `ask` with all of them finished, the writing of the suggested trial included.

Usage: python benchmarks/many_trials.py [--quick]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from trial_overhead import NoTrainingWorker, study

from neurosearch.config.load import StudyConfig
from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.ray_cluster import Workers, cluster
from neurosearch.search.ray_tune import run_trials
from neurosearch.search.seams import SilentListener
from neurosearch.search.study import create_study, resume_study
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import choose_store

NUM_TRIALS, NUM_QUICK, NUM_ASKED = 1000, 60, 21
CONCURRENCY = 2


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials: shows that the script runs")
    quick = parser.parse_args().quick
    num_trials = NUM_QUICK if quick else NUM_TRIALS
    with tempfile.TemporaryDirectory() as root:
        config = study(num_trials)
        folder = StudyFolder(Path(root), config.study.name)
        figures = searched(folder, config)
        suggest_ms = asked_ms(folder, num_trials)
    print(json.dumps({**figures, "suggest_ms": round(suggest_ms, 1), "trials": num_trials, "quick": quick}))


class Ends(SilentListener):
    """Notes time and memory when trials end."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.kib: list[float] = []

    def on_trial_finished(self, *_told: Any) -> None:
        """Notes both."""
        self.times.append(time.perf_counter())
        self.kib.append(resident_kib())


def resident_kib() -> float:
    """Returns the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1024


def searched(folder: StudyFolder, config: StudyConfig) -> dict[str, float]:
    """Runs the study; returns time and memory for each trial."""
    opened = create_study(folder, config)
    tracker = MlflowTracker(choose_store(folder.root, None), config.study.tracking.experiment, Path.cwd())
    tracker.start_study(opened.stored.info)
    ends = Ends()

    def describe(trial: Any) -> dict[str, str]:
        return {"data_hash": opened_data(TrialConfig.model_validate(trial.config), folder).folder.name}

    workers = Workers(CONCURRENCY, 1.0, 0.0, None)
    with cluster(workers, folder):
        run_trials(Desk(opened, tracker, ends, describe, lambda: ()), workers, folder, NoTrainingWorker)
    waited = time.perf_counter()
    assert tracker.close(120.0) == 0, "the tracker lost something"
    seconds = time.perf_counter() - waited
    opened.close()
    first = len(ends.times) // 10
    num_trials = len(ends.times) - 1 - first
    return {
        "trial_ms": round(1000 * (ends.times[-1] - ends.times[first] + seconds) / num_trials, 1),
        "driver_kib_per_trial": round((ends.kib[-1] - ends.kib[first]) / num_trials, 1),
    }


def asked_ms(folder: StudyFolder, num_trials: int) -> float:
    """Returns what a suggestion costs with so many finished trials."""
    opened = resume_study(folder, study(num_trials + NUM_ASKED))
    times = []
    for _ in range(NUM_ASKED):
        started = time.perf_counter()
        trial = opened.ask()
        times.append(1000 * (time.perf_counter() - started))
        assert trial is not None
        metrics = {"balanced_accuracy": 0.5, "parameters": 1000.0}
        opened.tell(trial.number, TrialOutcome("finished", None, metrics, 1, 0.1, (), (metrics,)))
    opened.close()
    return statistics.median(times)


if __name__ == "__main__":
    main()
