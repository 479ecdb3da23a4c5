"""What a worker is handed: the right and the duty to run some trials of a study.

A lease is plain values, because Ray carries plain values; the worker validates the configs again. It is a value of its
own, apart from a Tune trial, and holds one trial of the study or a pack of them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from neurosearch.search.folders import StudyFolder
from neurosearch.search.room import Room
from neurosearch.search.seams import Role


@dataclass(frozen=True)
class LeasedTrial:
    """One trial to run.

    Attributes:
        number: The study's number of the trial.
        role: Why it runs.
        config: The plain `TrialConfig`; its seed is replaced by each of `seeds`.
        seeds: What it is trained on, one after the other.
        levels: Training costs, rising, at which its first training waits for a word whether to go on (see
            `early_stopping.rung_levels`); empty where nothing is stopped early.
        candidates: Whether the state after each epoch at rest is kept as a candidate of the front.
    """

    number: int
    role: Role
    config: dict[str, Any]
    seeds: tuple[int, ...]
    levels: tuple[float, ...]
    candidates: bool = False


@dataclass(frozen=True)
class Lease:
    """Trials handed to one worker: one, or several that take their steps together.

    Attributes:
        study: Where the study lies, as every worker sees it.
        trials: The trials.
        room: What they run in.
        silence_seconds: Longest time that a trial may say nothing; None for no limit.
        is_measured: Whether it is to be found out first if they are faster together; only where there are several.
    """

    study: StudyFolder
    trials: tuple[LeasedTrial, ...]
    room: Room
    silence_seconds: float | None
    is_measured: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "study": self.study.to_dict(),
            "trials": [asdict(each) for each in self.trials],
            "room": self.room.to_dict(),
            "silence_seconds": self.silence_seconds,
            "is_measured": self.is_measured,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Lease":
        """Rebuilds a lease from `to_dict`."""
        trials, room = tuple(leased_trial(each) for each in values["trials"]), Room.from_dict(values["room"])
        study = StudyFolder.from_dict(values["study"])
        return cls(study, trials, room, values["silence_seconds"], values["is_measured"])


def leased_trial(values: Mapping[str, Any]) -> LeasedTrial:
    """Rebuilds a leased trial from its dict."""
    seeds, levels = tuple(values["seeds"]), tuple(values["levels"])
    return LeasedTrial(values["number"], values["role"], dict(values["config"]), seeds, levels, values["candidates"])
