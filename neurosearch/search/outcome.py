"""How a trial ended, and the file beside its checkpoints that tells its whole history."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from neurosearch import names

State = Literal["finished", "stopped", "failed"]
_FORMAT = 2


@dataclass(frozen=True)
class TrialOutcome:
    """The end of a trial.

    Attributes:
        state: `finished`, also for a network above the size limit (the study judges that); `stopped` early, because
            others were better; `failed`.
        reason: Why it was stopped or failed, in words; None when it finished.
        metrics: Metrics of the final network under the names of `neurosearch.names`, means over the seeds; those of the
            last report when it was stopped, empty when it failed.
        epochs: Whole epochs done, over all seeds.
        seconds: Wall time from the trial's first start on its last worker to its end.
        events: Growth events of the end itself (rounding a trained size, say), as dicts; earlier ones stand in the
            epoch records.
        per_seed: Metrics of the final network of each seed that was trained to its end, in the order of the seeds.
    """

    state: State
    reason: str | None
    metrics: dict[str, float]
    epochs: int
    seconds: float
    events: tuple[dict[str, Any], ...]
    per_seed: tuple[dict[str, float], ...] = ()

    @classmethod
    def failed(cls, reason: str, epochs: int = 0, seconds: float = 0.0) -> "TrialOutcome":
        """Returns the outcome of a trial that could not go on."""
        return cls("failed", reason, {}, epochs, seconds, ())

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "state": self.state,
            "reason": self.reason,
            "metrics": dict(self.metrics),
            "epochs": self.epochs,
            "seconds": self.seconds,
            "events": [dict(event) for event in self.events],
            "per_seed": [dict(metrics) for metrics in self.per_seed],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialOutcome":
        """Rebuilds an outcome from `to_dict`."""
        return cls(
            values["state"],
            values["reason"],
            dict(values["metrics"]),
            values["epochs"],
            values["seconds"],
            tuple(dict(event) for event in values["events"]),
            tuple(dict(metrics) for metrics in values["per_seed"]),
        )


@dataclass(frozen=True)
class TrialResult:
    """All that is known of an ended trial.

    Attributes:
        number: The study's number of the trial.
        config: The plain `TrialConfig`.
        outcome: How it ended.
        records: Every epoch record as a dict, first epoch first.
    """

    number: int
    config: dict[str, Any]
    outcome: TrialOutcome
    records: tuple[dict[str, Any], ...]


def mean_metrics(per_seed: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean of each metric that every seed has."""
    shared = [name for name in per_seed[0] if all(name in metrics for metrics in per_seed)]
    return {name: fmean(metrics[name] for metrics in per_seed) for name in shared}


def cut_short(
    records: Sequence[Mapping[str, Any]], reason: str, per_seed: Sequence[Mapping[str, float]]
) -> TrialOutcome:
    """Returns the outcome of a trial that is stopped where it stands.

    Args:
        records: Of all its epochs, at least one.
        reason: Why it is stopped.
        per_seed: Metrics of the final network of each seed that it was trained on to the end.
    """
    metrics = mean_metrics(per_seed) if per_seed else dict(records[-1]["metrics"])
    own = tuple(dict(each) for each in per_seed)
    return TrialOutcome("stopped", reason, metrics, last_epoch(records), seconds_of(records), (), own)


def seconds_of(records: Sequence[Mapping[str, Any]]) -> float:
    """Returns how long epochs took, by their records: all that is known of a trial that does not tell its end."""
    return sum((float(record["metrics"].get(names.EPOCH_SECONDS, 0.0)) for record in records), 0.0)


def write_result(path: Path, result: TrialResult) -> None:
    """Writes the result so that a crash at any moment leaves either the old file or the new one.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    values = {
        "format": _FORMAT,
        "number": result.number,
        "config": result.config,
        "outcome": result.outcome.to_dict(),
        "records": list(result.records),
    }
    write_text(path, json.dumps(values, indent=1))


def read_result(path: Path) -> TrialResult | None:
    """Reads a result; None when the trial has not ended (or ended without a word, its worker killed).

    Raises:
        ValueError: It was written by another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if values["format"] != _FORMAT:
        raise ValueError(
            f"{path} has format {values['format']}, and this neurosearch reads {_FORMAT}. "
            "Read it with the version that wrote it."
        )
    outcome = TrialOutcome.from_dict(values["outcome"])
    return TrialResult(values["number"], values["config"], outcome, tuple(values["records"]))


def write_text(path: Path, text: str) -> None:
    """Writes a text file under a temporary name, forces it to the disk and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def last_epoch(records: Sequence[Mapping[str, Any]]) -> int:
    """Returns how many whole epochs the records tell of."""
    return max((int(record["epoch"]) for record in records), default=0)
