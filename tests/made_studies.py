"""Studies that nobody trained: made-up courses and results, written through the storage as a search writes them."""

import json
import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurosearch.build.confusion import keep_confusion
from neurosearch.build.kept_scores import keep_test_scores
from neurosearch.config.load import study_from_mapping
from neurosearch.data.manifest import Manifest
from neurosearch.data.targets import TargetScaling
from neurosearch.search.finalists import leaders
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import TrialOutcome, TrialResult, mean_metrics, write_result
from neurosearch.search.run import write_config
from neurosearch.search.seams import Role, TrialInfo
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import Study, create_study, resume_study

TWO_OBJECTIVES = (
    {"metric": "balanced_accuracy", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
)
CONFIG: dict[str, Any] = {
    "name": "made",
    "seed": 3,
    "size_limit": {"parameters": 6000},
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[24, 24], [32, 32], [48, 32], [64, 16]]}},
    "training": {
        "epochs": 12,
        "learning_rate": {"search": "log_uniform", "low": 1e-3, "high": 1e-1},
        "weight_decay": {"search": "log_uniform", "low": 1e-5, "high": 1e-1},
        "loss": {"search": "choice", "options": ["cross_entropy", "balanced_softmax"]},
    },
    "growth": {
        "search": "one_of",
        "options": [
            {"kind": "static"},
            {"kind": "periodic", "grow_share": {"search": "uniform", "low": 0.25, "high": 1.0}},
            {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.4, "high": 1.0}},
        ],
    },
    "search": {"trials": 30, "sampler": "random", "concurrency": 2, "fresh_seeds": 5},
    "tracking": {"enabled": False},
}


#: Changes for quantities in the place of classes.
REGRESSION: dict[str, Any] = {
    "data": {"kind": "npz", "path": "made.npz", "task": "regression"},
    "training.loss": {"search": "choice", "options": ["mse", "huber"]},
    "growth.options": [
        {"kind": "static"},
        {
            "kind": "periodic",
            "importance": "taylor",
            "grow_share": {"search": "uniform", "low": 0.25, "high": 1.0},
        },
        {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.4, "high": 1.0}},
    ],
    "search.objectives": [{"metric": "rmse", "direction": "minimize"}],
}


def config_with(**changes: Any) -> dict[str, Any]:
    """Returns the config with some fields changed: `config_with(**{"search.trials": 5})`."""
    values = deepcopy(CONFIG)
    for path, value in changes.items():
        *sections, last = path.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return values


@dataclass
class MadeStudy:
    """Makes a study, a trial at a time.

    Attributes:
        root: The folder of all studies.
        values: The config as plain values.
        class_counts: Training examples of each class; empty where quantities are learned.
        targets: Names of the quantities that are learned, where there are several.
        gain: What changing neurons adds to the score.
        class_word: What the names of classes begin with.
    """

    root: Path
    values: dict[str, Any] = field(default_factory=config_with)
    class_counts: tuple[int, ...] = (300, 200, 130, 90, 60, 40, 27, 18, 12, 8)
    targets: tuple[str, ...] = ()
    gain: float = 0.02
    class_word: str = "class"
    study: Study = field(init=False)

    def __post_init__(self) -> None:
        config = study_from_mapping(self.values, "made.yaml")
        self.folder = StudyFolder(self.root, config.study.name)
        self.study = create_study(self.folder, config)
        write_config(self.folder, config)
        self.class_names = [f"{self.class_word} {index}" for index in range(len(self.class_counts))]
        self._write_manifest()

    def search(self, count: int, *, failed: int = 0, running: int = 0) -> "MadeStudy":
        """Runs trials of the search: so many to their end, then some that fail, then some that are left running."""
        for kind in ["finished"] * count + ["failed"] * failed + ["running"] * running:
            trial = self.study.ask()
            assert trial is not None
            self._run(trial, kind)
        return self

    def confirm(self, *, test: bool = True) -> "MadeStudy":
        """Trains finalists, control and an arm on fresh seeds, and reads the test part for them."""
        seeds = self.study.stored.fresh_seeds
        self.finalists(test=test).beside("control", seeds, test=test)
        return self.beside("recycle", seeds, test=test)

    def finalists(self, *, test: bool = True) -> "MadeStudy":
        """Trains the finalists on fresh seeds, and reads the test part for them."""
        stored, search = self.study.stored, self.study.config.study.search
        for trial in leaders(stored.trials(), self.study.config.study, search.finalists):
            self._confirmed(dict(trial.config), "finalist", stored.fresh_seeds, trial.params, test)
        return self

    def resumed(self, values: dict[str, Any]) -> "MadeStudy":
        """Goes on with another config."""
        self.study.close()
        self.study = resume_study(self.folder, study_from_mapping(values, "made.yaml"))
        return self

    def beside(self, role: Role, seeds: Sequence[int], *, test: bool = True) -> "MadeStudy":
        """Trains the control, or the arm that recycles neurons, on some seeds; then all is done."""
        (best,) = leaders(self.study.stored.trials(), self.study.config.study, 1)
        model = {**best.config["model"], "widths": [60, 20]}  # which no trial of the search has
        growth = "static" if role == "control" else "recycle"
        config = {**best.config, "model": model, "growth": {"kind": growth}}
        self._confirmed(config, role, seeds, {}, test)
        self.study.conclude()
        return self

    def done(self) -> StoredStudy:
        """Gives up the right to search; returns what anybody may read."""
        self.study.close()
        return StoredStudy(self.folder)

    def _confirmed(self, config: dict[str, Any], role: Role, seeds: Sequence[int], values: Any, test: bool) -> None:
        from neurosearch.config.trial import TrialConfig

        model = TrialConfig.model_validate(config)
        trial = self.study.ask_for(model, role, seeds, values)
        if trial is None:
            return
        per_seed = self._run(trial, "finished")
        for index, metrics in enumerate(per_seed):
            folder = self.folder.training(trial.number, index)
            folder.mkdir(parents=True, exist_ok=True)
            if test:
                keep_test_scores(folder, {f"test/{name}": 0.98 * value for name, value in _scores(metrics).items()})
            if self.class_names and len(self.class_names) <= 100:
                for part in ("validation", "test") if test else ("validation",):
                    keep_confusion(folder, part, self._matrix(metrics), self.class_names)

    def _run(self, trial: TrialInfo, end: str) -> tuple[dict[str, float], ...]:
        records: list[dict[str, Any]] = []
        per_seed = []
        epochs = trial.config["training"]["epochs"]
        for index, seed in enumerate(trial.seeds):
            random = np.random.default_rng([seed, trial.number])
            for epoch in range(1, epochs + 1 if end == "finished" else epochs // 2):
                metrics = self._metrics(trial, epoch, epochs, random)
                records.append(
                    {
                        "epoch": index * epochs + epoch,
                        "step": 10 * epoch,
                        "metrics": metrics,
                        "events": _events(trial, epoch, epochs),
                        "at_rest": epoch % 4 == 0,
                        "seed_index": index,
                        "checkpoint": None,
                    }
                )
            if end == "finished":
                per_seed.append(records[-1]["metrics"])
        self.study.report(trial.number, records)
        if end != "running":
            self._end(trial, records, per_seed, end)
        return tuple(per_seed)

    def _end(self, trial: TrialInfo, records: list[Any], per_seed: list[dict[str, float]], end: str) -> None:
        epochs = len(records)
        if end == "failed":
            reason = "the loss is not finite after epoch 5 <script>alert(1)</script>. Lower training.learning_rate."
            outcome = TrialOutcome.failed(reason, epochs, 2.0)
        else:
            outcome = TrialOutcome("finished", None, mean_metrics(per_seed), epochs, 4.0, (), tuple(per_seed))
        write_result(
            self.folder.result(trial.number), TrialResult(trial.number, dict(trial.config), outcome, tuple(records))
        )
        self.study.tell(trial.number, outcome)

    def _metrics(self, trial: TrialInfo, epoch: int, epochs: int, random: np.random.Generator) -> dict[str, float]:
        training, kind = trial.config["training"], trial.config["growth"]["kind"]
        widths = [_width(trial, width, epoch, epochs) for width in trial.config["model"]["widths"]]
        parameters = float(64 * widths[0] + widths[0] * widths[-1] + widths[-1] * 10)
        worth = 0.9 - 0.05 * abs(math.log10(training["learning_rate"]) + 2) + 0.004 * math.log2(sum(widths))
        worth += self.gain * (kind in ("periodic", "nimble")) + 0.01 * (
            training["loss"]["kind"] not in ("cross_entropy", "mse")
        )
        score = min(worth * (1 - 0.6 * math.exp(-4 * epoch / epochs)) + 0.012 * random.standard_normal(), 0.999)
        found = {
            "parameters": parameters,
            "neurons": float(sum(widths)),
            "multiply_adds": parameters,
            "neurons/layer1": float(widths[0]),
            "neurons/layer2": float(widths[-1]),
            "training_multiply_adds": 3.0 * parameters * 800 * epoch,
            "epoch_seconds": 0.3,
            "latency_seconds": 2e-4 + 1e-8 * parameters + 2e-6 * score,
            "task_loss": 1 - score,
            "validation_loss": 1 - score,
        }
        return found | (self._class_scores(score, random) if self.class_counts else self._target_scores(score))

    def _target_scores(self, score: float) -> dict[str, float]:
        own = {f"rmse/{name}": 1.1 - score for name in self.targets}
        return {"rmse": 1 - score, "mae": 0.8 * (1 - score), "r2": score, **own}

    def _class_scores(self, score: float, random: np.random.Generator) -> dict[str, float]:
        ranks = np.linspace(0.06, -0.1, len(self.class_counts))
        recalls = np.clip(score + ranks + 0.03 * random.standard_normal(len(ranks)), 0.0, 1.0).tolist()
        counts = np.array(self.class_counts)
        groups = {"many": counts > 100, "medium": (counts >= 20) & (counts <= 100), "few": counts < 20}
        return {
            "balanced_accuracy": score,
            "accuracy": min(score + 0.02, 1.0),
            "worst_class_recall": min(recalls),
            "calibration_error": 0.1 * (1 - score),
            **{f"{name}_recall": float(np.array(recalls)[mask].mean()) for name, mask in groups.items() if mask.any()},
            **{f"recall/{name}": recall for name, recall in zip(self.class_names, recalls, strict=True)},
        }

    def _matrix(self, metrics: dict[str, float]) -> list[list[float]]:
        count = len(self.class_names)
        matrix = []
        for index, name in enumerate(self.class_names):
            right = round(30 * metrics[f"recall/{name}"])
            row = [0.0] * count
            row[(index + 1) % count] += 30 - right
            row[index] += right
            matrix.append(row)
        return matrix

    def _write_manifest(self) -> None:
        counts = self.class_counts or (885,)
        manifest = Manifest(
            format_version=1,
            data_hash="5f" * 32,
            class_names=tuple(self.class_names),
            train_counts=counts,
            validation_counts=(30,) * len(counts),
            test_counts=(30,) * len(counts),
            layout="features",
            dtype="float32",
            raw_shape=(64,),
            input_shape=(64,),
            scale=1.0,
            resize=None,
            value_range=(0.0, 1.0),
            mean=(0.0,) * 64,
            std=(1.0,) * 64,
            targets=None if self.class_counts else TargetScaling(self.targets or ("y",), (0.0,), (1.0,)),
        )
        folder = self.folder.data / "made"
        folder.mkdir(parents=True, exist_ok=True)
        values = json.loads(manifest.to_json())
        (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")


def _width(trial: TrialInfo, width: int, epoch: int, epochs: int) -> int:
    growth = trial.config["growth"]
    match growth["kind"]:
        case "periodic":
            return round(width * (1 + growth["grow_share"])) if epoch % 4 in (1, 2) and epoch < epochs - 1 else width
        case "nimble":
            return max(round(width * (1 - (1 - growth["target_share"]) * min(epoch / epochs * 1.5, 1.0))), 1)
        case _:
            return width


def _events(trial: TrialInfo, epoch: int, epochs: int) -> list[dict[str, Any]]:
    events = []
    for group, width in zip(("layer1", "layer2"), trial.config["model"]["widths"], strict=True):
        change = _width(trial, width, epoch, epochs) - (_width(trial, width, epoch - 1, epochs) if epoch > 1 else width)
        if change:
            added, removed = max(change, 0), max(-change, 0)
            reason = f"cycle {epoch // 4}"
            events.append(
                {
                    "step": 10 * epoch,
                    "epoch": epoch - 1,
                    "group": group,
                    "added": added,
                    "removed": removed,
                    "reason": reason,
                }
            )
    return events


def _scores(metrics: dict[str, float]) -> dict[str, float]:
    kept = ("accuracy", "balanced_accuracy", "worst_class_recall", "rmse", "mae", "r2", "validation_loss")
    return {
        name: value
        for name, value in metrics.items()
        if name in kept or name.startswith(("recall/", "rmse/")) or name.endswith("_recall")
    }
