"""What a trial costs beside its training: our search and the stock one, side by side.

A trial here does nothing but report one epoch, in a worker that has imported torch, as every training has. Ours is the
whole path: study, sampler, desk, Ray Tune, the files of a trial, and tracking in MLflow on SQLite. Stock is Ray Tune as
its documentation shows it: Tuner, OptunaSearch, ASHA and MLflowLoggerCallback (SQLite too), over the same space;
`reused` is the same with `reuse_actors=True`. All run one trial at a time. The first fifth of the trials warms up; a
tracker that writes behind the search's back is counted with the time it takes to be done.

Prints milliseconds for each trial, and how many times more trials than stock fit in a minute.

Usage: python benchmarks/trial_overhead.py [--quick]
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.ray_cluster import Workers, cluster
from neurosearch.search.ray_tune import TrialWorker, run_trials
from neurosearch.search.seams import SilentListener
from neurosearch.search.study import create_study
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import choose_store
from neurosearch.training.records import EpochRecord

FULL = {"ours": 200, "stock": 20, "reused": 100}
QUICK = {"ours": 30, "stock": 4, "reused": 15}
METRICS = {"balanced_accuracy": 0.5, "accuracy": 0.5, "task_loss": 1.0, "parameters": 1000.0, "neurons": 10.0}


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials: shows that the script runs")
    quick = parser.parse_args().quick
    trials = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as root:
        ours = ours_ms(Path(root) / "ours", trials["ours"])
        stock = stock_ms(Path(root) / "stock", trials["stock"], reuse_actors=False)
        reused = stock_ms(Path(root) / "reused", trials["reused"], reuse_actors=True)
    figures = {
        "trial_ms": round(ours, 1),
        "stock_trial_ms": round(stock, 1),
        "stock_reused_trial_ms": round(reused, 1),
        "speedup": round(stock / ours, 2),
        "reused_speedup": round(reused / ours, 2),
        "quick": quick,
        "trials": trials,
    }
    print(json.dumps(figures))


def warm_ms(ends: list[float], extra_seconds: float = 0.0) -> float:
    """Returns milliseconds for each trial between the end of the warm-up and the last end."""
    first = max(1, len(ends) // 5) - 1
    return 1000 * (ends[-1] - ends[first] + extra_seconds) / (len(ends) - 1 - first)


class NoTraining:
    """A training that does nothing and reports one epoch."""

    def __init__(self, *_args: Any) -> None:
        self.history: list[EpochRecord] = []

    def epochs(self) -> Iterator[EpochRecord]:
        """Yields the one epoch."""
        self.history.append(EpochRecord(1, 1, METRICS, (), True))
        yield self.history[-1]

    def kept(self, _record: EpochRecord) -> None:
        """Keeps no file."""

    def deliver(self) -> EpochRecord:
        """Returns the one epoch."""
        return self.history[-1]


class NoTrainingWorker(TrialWorker):
    """Our worker, but for the training."""

    opened = staticmethod(NoTraining)


class Ends(SilentListener):
    """Notes when trials end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_finished(self, *_told: Any) -> None:
        """Notes the time."""
        self.times.append(time.perf_counter())


def ours_ms(root: Path, num_trials: int) -> float:
    """Returns what a trial costs in our search."""
    config = study(num_trials)
    folder = StudyFolder(root, config.study.name)
    study_ = create_study(folder, config)
    tracker = MlflowTracker(choose_store(root, None), config.study.tracking.experiment, Path.cwd())
    tracker.start_study(study_.stored.info)
    ends = Ends()

    def describe(trial: Any) -> dict[str, str]:
        return {"data_hash": opened_data(TrialConfig.model_validate(trial.config), folder).folder.name}

    desk = Desk(study_, tracker, ends, describe, lambda: ())
    workers = Workers(1, 1.0, 0.0, None)
    with cluster(workers, folder):
        run_trials(desk, workers, folder, NoTrainingWorker)
    started = time.perf_counter()
    untold = tracker.close(60.0)
    seconds = time.perf_counter() - started
    study_.close()
    assert untold == 0
    assert len(ends.times) == num_trials
    return warm_ms(ends.times, seconds)


def study(num_trials: int) -> StudyConfig:
    """Returns a study over the space that stock searches too."""
    return study_from_mapping(
        {
            "name": "overhead",
            "data": {"kind": "digits"},
            "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[16], [32], [64]]}},
            "training": {
                "epochs": 1,
                "learning_rate": {"search": "log_uniform", "low": 1e-4, "high": 1e-1},
                "weight_decay": {"search": "log_uniform", "low": 1e-6, "high": 1e-2},
                "momentum": {"search": "uniform", "low": 0.5, "high": 0.99},
                "batch_size": {"search": "int", "low": 16, "high": 256},
            },
            "growth": {"kind": "static"},
            "search": {"trials": num_trials, "control": False, "finalists": 0},
        },
        "overhead",
    )


def nothing(_config: dict[str, Any]) -> None:
    """The same trial in Ray Tune's own way."""
    import torch  # noqa: F401  # as every training does

    tune.report(dict(METRICS))


class StockEnds(tune.Callback):
    """Notes when stock trials end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_complete(self, *_told: Any, **_more: Any) -> None:
        """Notes the time."""
        self.times.append(time.perf_counter())


def stock_ms(root: Path, num_trials: int, *, reuse_actors: bool) -> float:
    """Returns what a trial costs as Ray Tune's documentation shows it."""
    root.mkdir()
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ends = StockEnds()
    space = {
        "widths": tune.choice(["16", "32", "64"]),
        "learning_rate": tune.loguniform(1e-4, 1e-1),
        "weight_decay": tune.loguniform(1e-6, 1e-2),
        "momentum": tune.uniform(0.5, 0.99),
        "batch_size": tune.randint(16, 257),
    }
    mlflow = MLflowLoggerCallback(tracking_uri=f"sqlite:///{root}/mlflow.db", experiment_name="stock")
    tune.Tuner(
        nothing,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="balanced_accuracy",
            mode="max",
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(),
            num_samples=num_trials,
            max_concurrent_trials=1,
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(name="stock", storage_path=str(root), verbose=0, callbacks=[mlflow, ends]),
    ).fit()
    ray.shutdown()
    assert len(ends.times) == num_trials
    return warm_ms(ends.times)


if __name__ == "__main__":
    main()
