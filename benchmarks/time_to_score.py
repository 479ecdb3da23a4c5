"""How long our search takes to reach the score that the stock one has found after ten minutes.

Stock is Ray Tune as its documentation shows it: Tuner, OptunaSearch, ASHA (by epochs) and MLflowLoggerCallback. Both
search the same space on MNIST-LT with the same trainer, one seed after the other, at the same time: each has a core of
its own, which its driver, its trials and its tracking share. The clock of both starts with their processes. Stock runs
for the given time and names its best trial; ours runs at most as long.

A score that a search reports of its own best trial is in part luck, so both are measured again: the configuration that
stock ends with, and each one that was our best for a while, are trained on the same fresh seeds. Ours has reached the
score at the end of the first trial whose configuration is as good as stock's by that measure. `time_ratio` is that
moment over stock's time, for each seed; 3 where it never came.

Usage: python benchmarks/time_to_score.py [--minutes 10] [--seeds 5] [--first-seed 0]
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"

import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from neurosearch.build.trial import build_trainer, prepare_data
from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.run import run_search
from neurosearch.search.seams import SilentListener, TrialSummary
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import choose_store

METRIC, ARMS = "balanced_accuracy", ("stock", "ours")
EPOCHS, FRESH_SEEDS, NEVER = 20, 3, 3.0
WIDTHS = [[64], [60, 48], [56, 56, 32]]  # about 50,000 parameters each: what somebody can deploy
DATA = Path(os.environ.get("NEUROSEARCH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist_lt.npz"
CPU = torch.device("cpu")
GROW_SHARE = {"search": "uniform", "low": 0.2, "high": 1.0}


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the stock search")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--arm", nargs=4, metavar=("ARM", "ROOT", "SEED", "STARTED"), help="used by the script itself")
    arguments = parser.parse_args()
    if arguments.arm:
        arm, root, seed, started = arguments.arm
        run = our_search if arm == "ours" else stock_search
        print(json.dumps(run(Path(root), int(seed), 60 * arguments.minutes, float(started))))
        return
    if not DATA.exists():
        raise SystemExit(f"there is no {DATA}; set NEUROSEARCH_TEST_DATA to the folder that holds mnist_lt.npz")
    torch.set_num_threads(1)
    found = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as root:
            found.append(compared(Path(root), seed, 60 * arguments.minutes))
        print(json.dumps({"seed": seed, **found[-1]}), flush=True)
    ratios = [each["time_ratio"] for each in found]
    print(json.dumps({"time_ratio_median": statistics.median(ratios), "time_ratio": ratios, "each": found}))


def compared(root: Path, seed: int, seconds: float) -> dict[str, Any]:
    """Runs both searches with one seed and measures what they found."""
    cores = sorted(os.sched_getaffinity(0))
    assert len(cores) > 1, "two cores are needed, one for each search"
    arms = {name: started_arm(name, root / name, seed, seconds, core) for name, core in zip(ARMS, cores, strict=False)}
    stock, ours = (json.loads(arms[name].communicate()[0].splitlines()[-1]) for name in ARMS)
    fresh = [10_000 * (seed + 1) + index for index in range(FRESH_SEEDS)]
    wanted = measured(stock["config"], fresh, root / "data")
    reached, scores = None, []
    for moment, config in ours["incumbents"]:
        score = measured(config, fresh, root / "data")
        scores.append((round(moment, 1), round(score, 4)))
        if score >= wanted:
            reached = moment
            break
    return {
        "time_ratio": NEVER if reached is None else round(reached / seconds, 3),
        "stock_score": round(wanted, 4),
        "stock_config": stock["config"],
        "stock_trials": stock["trials"],
        "our_scores": scores,
        "our_trials": ours["trials"],
    }


def started_arm(name: str, root: Path, seed: int, seconds: float, core: int) -> "subprocess.Popen[str]":
    """Starts a search in a process of its own, on a core of its own, which all that it starts inherits."""
    arm = ["--arm", name, str(root), str(seed), str(time.time())]
    command = [sys.executable, __file__, "--minutes", str(seconds / 60), *arm]
    affinity = ["taskset", "--cpu-list", str(core)]
    with (root.parent / f"{name}.log").open("w") as log:
        return subprocess.Popen([*affinity, *command], stdout=subprocess.PIPE, stderr=log, text=True)


def study(seed: int, seconds: float, root: Path) -> StudyConfig:
    """Returns the study; stock searches the same space."""
    return study_from_mapping(
        {
            "name": "time-to-score",
            "seed": seed,
            "data": {"kind": "npz", "path": str(DATA), "validation_share": 0.2},
            "model": {"kind": "mlp", "widths": {"search": "choice", "options": WIDTHS}},
            "training": {
                "epochs": EPOCHS,
                "batch_size": {"search": "choice", "options": [32, 64, 128]},
                "learning_rate": {"search": "log_uniform", "low": 1e-4, "high": 1e-1},
                "weight_decay": {"search": "log_uniform", "low": 1e-6, "high": 1e-1},
                "loss": {"search": "choice", "options": ["cross_entropy", "class_balanced", "balanced_softmax"]},
            },
            "growth": {
                "search": "one_of",
                "options": [
                    {"kind": "static"},
                    {"kind": "periodic", "period_epochs": 5, "grow_share": GROW_SHARE},
                ],
            },
            "search": {
                "trials": 10_000,
                "concurrency": 1,
                "time_budget_seconds": seconds,
                "objectives": [{"metric": METRIC, "direction": "maximize"}],
                "stopping": {"kind": "halving", "reduction": 3, "first_share": 0.1},
                "finalists": 0,
                "control": False,
            },
            "storage": {"folder": str(root)},
        },
        "time-to-score",
    )


class Incumbents(SilentListener):
    """Notes when which trial became the best."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.found: list[tuple[float, dict[str, Any]]] = []

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Notes it if this trial is the best."""
        if best is not None and best.number == trial.number:
            self.found.append((time.time() - self.started, dict(trial.config)))


def our_search(root: Path, seed: int, seconds: float, started: float) -> dict[str, Any]:
    """Runs our search; its clock started with its process."""
    incumbents = Incumbents(started)
    config = study(seed, seconds - (time.time() - started), root)
    tracker = MlflowTracker(choose_store(root, None), config.study.tracking.experiment, Path.cwd())
    result = run_search(config, StudyFolder(root, config.study.name), tracker=tracker, listener=incumbents)
    return {"incumbents": incumbents.found, "trials": dict(result.counts)}


def stock_space() -> dict[str, Any]:
    """Returns the same space in Ray Tune's words."""
    return {
        "widths": tune.choice([json.dumps(widths) for widths in WIDTHS]),
        "batch_size": tune.choice([32, 64, 128]),
        "learning_rate": tune.loguniform(1e-4, 1e-1),
        "weight_decay": tune.loguniform(1e-6, 1e-1),
        "loss": tune.choice(["cross_entropy", "class_balanced", "balanced_softmax"]),
        "growth": tune.choice(["static", "periodic"]),
        "grow_share": tune.uniform(0.2, 1.0),
    }


def stock_config(chosen: dict[str, Any], seed: int) -> dict[str, Any]:
    """Returns the trial's config that a stock suggestion stands for."""
    static = {"kind": "static"}
    periodic = {"kind": "periodic", "period_epochs": 5, "grow_share": chosen["grow_share"]}
    return {
        "data": {"kind": "npz", "path": str(DATA), "validation_share": 0.2},
        "model": {"kind": "mlp", "widths": json.loads(chosen["widths"])},
        "training": {
            "epochs": EPOCHS,
            **{name: chosen[name] for name in ("batch_size", "learning_rate", "weight_decay", "loss")},
        },
        "growth": static if chosen["growth"] == "static" else periodic,
        "seed": seed,
    }


def stock_trial(chosen: dict[str, Any]) -> None:
    """Trains a stock trial, as the documentation of Ray Tune shows it."""
    torch.set_num_threads(1)
    config = TrialConfig.model_validate(stock_config(chosen, chosen["seed"]))
    data = prepare_data(config, Path(chosen["data_folder"]))
    folder = Path(tune.get_context().get_trial_dir())
    for record in build_trainer(config, data, folder, CPU).epochs():
        tune.report({METRIC: record.metrics[METRIC], "task_loss": record.metrics["task_loss"]})


def stock_search(root: Path, seed: int, seconds: float, started: float) -> dict[str, Any]:
    """Runs the stock search; its clock started with its process."""
    root.mkdir()
    data_folder = root / "data"
    prepare_data(TrialConfig.model_validate(stock_config(midpoint(), seed)), data_folder)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    mlflow = MLflowLoggerCallback(tracking_uri=f"sqlite:///{root}/mlflow.db", experiment_name="stock")
    results = tune.Tuner(
        stock_trial,
        param_space={**stock_space(), "seed": seed, "data_folder": str(data_folder)},
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=2, reduction_factor=3),
            num_samples=-1,
            max_concurrent_trials=1,
            time_budget_s=seconds - (time.time() - started),
        ),
        run_config=tune.RunConfig(name="stock", storage_path=str(root), verbose=0, callbacks=[mlflow]),
    ).fit()
    ray.shutdown()
    return {"config": stock_config(results.get_best_result().config, seed), "trials": len(results)}


def midpoint() -> dict[str, Any]:
    """Returns any suggestion; the data are the same for all."""
    chosen = {"widths": "[64]", "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-6, "loss": "cross_entropy"}
    return {**chosen, "growth": "static", "grow_share": 0.5}


def measured(config: dict[str, Any], seeds: list[int], folder: Path) -> float:
    """Returns the mean validation score of a configuration over fresh seeds."""
    return statistics.fmean(final_score({**config, "seed": seed}, folder) for seed in seeds)


def final_score(values: dict[str, Any], folder: Path) -> float:
    """Returns the validation score of one training."""
    config = TrialConfig.model_validate(values)
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer = build_trainer(config, prepare_data(config, folder), Path(checkpoints), CPU)
        for _ in trainer.epochs():
            pass
        return trainer.finish().record.metrics[METRIC]


if __name__ == "__main__":
    main()
