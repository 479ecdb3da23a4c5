"""What a worker is handed: the right and the duty to run some trials of a study.

A lease is plain values, because Ray carries plain values; the worker validates the configs again. It is a value of its
own, apart from a Tune trial: today a lease holds one trial of the study, and nothing but its maker knows that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neurosearch.search.seams import Role


@dataclass(frozen=True)
class LeasedTrial:
    """One trial to run.

    Attributes:
        number: The study's number of the trial.
        role: Why it runs.
        config: The plain `TrialConfig`.
    """

    number: int
    role: Role
    config: dict[str, Any]


@dataclass(frozen=True)
class Lease:
    """Trials handed to one worker, to be run one after the other.

    Attributes:
        study_folder: Path of the study's own folder, as every worker sees it.
        trials: The trials.
    """

    study_folder: str
    trials: tuple[LeasedTrial, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        trials = [{"number": each.number, "role": each.role, "config": each.config} for each in self.trials]
        return {"study_folder": self.study_folder, "trials": trials}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Lease":
        """Rebuilds a lease from `to_dict`."""
        trials = tuple(LeasedTrial(each["number"], each["role"], dict(each["config"])) for each in values["trials"])
        return cls(values["study_folder"], trials)
