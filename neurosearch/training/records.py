"""What a training reports: one record per epoch, one event per change of a group."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GrowthEvent:
    """One group changed its neurons.

    Attributes:
        step: Optimizer updates done before the change.
        epoch: Whole epochs done before the change.
        group: Name of the group.
        added: Neurons that came.
        removed: Neurons that went.
        reason: Why, in the policy's words.
    """

    step: int
    epoch: int
    group: str
    added: int
    removed: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GrowthEvent":
        """Rebuild an event from `to_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class EpochRecord:
    """The state of a training after an epoch.

    Attributes:
        epoch: Whole epochs done, from 1 on.
        step: Optimizer updates done.
        metrics: Values under the names of `neurosearch.names`; a metric that does not apply is absent.
        events: What changed during the epoch, changes at its end included.
        at_rest: Whether the network has a size it can be judged at (see `GrowthPolicy.at_rest`).
    """

    epoch: int
    step: int
    metrics: dict[str, float]
    events: tuple[GrowthEvent, ...]
    at_rest: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "metrics": dict(self.metrics),
            "events": [event.to_dict() for event in self.events],
            "at_rest": self.at_rest,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EpochRecord":
        """Rebuild a record from `to_dict`."""
        events = tuple(GrowthEvent.from_dict(event) for event in values["events"])
        return cls(values["epoch"], values["step"], dict(values["metrics"]), events, values["at_rest"])


class TrialFailed(RuntimeError):
    """A training cannot go on; `reason` says what happened, where, and what to try.

    One trial ends with it, never the study.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
