"""What a study with several objectives has reached: its front, and how that grew from trial to trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurosearch.config.search import ARMS
from neurosearch.config.study import StudyFields
from neurosearch.search.candidates import Candidate, candidates, front_of
from neurosearch.search.hypervolume import Box, bounds, hypervolume_history, study_box
from neurosearch.search.reports import StoredReport
from neurosearch.search.seams import TrialSummary


@dataclass(frozen=True)
class Moment:
    """The end of a trial that offered something within the limits.

    Attributes:
        trial: Number of the trial.
        seconds: Seconds from the start of the first trial to its end.
        hypervolume: Share of the box that the front dominated from then on.
    """

    trial: int
    seconds: float
    hypervolume: float


@dataclass(frozen=True)
class Reached:
    """What a study has reached.

    Attributes:
        front: The networks within their limits that none dominates, best first by the first objective.
        box: What the hypervolume is a share of; all moments are measured by this one.
        history: Every trial with a network within the limits, in the order of their ends.
    """

    front: tuple[Candidate, ...]
    box: Box
    history: tuple[Moment, ...]

    @property
    def hypervolume(self) -> float:
        """Share of the box that the front dominates."""
        return self.history[-1].hypervolume if self.history else 0.0

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "front": [{"trial": each.trial, "epoch": each.epoch, "values": list(each.values)} for each in self.front],
            "hypervolume": self.hypervolume,
            "reference": list(self.box.worst),
            "ideal": list(self.box.ideal),
            "history": [[moment.trial, moment.seconds, moment.hypervolume] for moment in self.history],
        }


def reached(
    trials: Sequence[TrialSummary], study: StudyFields, reports: Mapping[int, Sequence[StoredReport]]
) -> Reached:
    """Returns what trials have reached together: a pure function of them and of the config.

    Arms count for nothing here: they are there to be compared with, and are never exported.

    Args:
        trials: Of any state and role.
        study: The study's config.
        reports: Reports by trial number, of the trials whose epochs count beside their final networks.
    """
    objectives = study.search.objectives
    directions = [objective.direction for objective in objectives]
    metrics = [objective.metric for objective in objectives]
    counted = (trial for trial in trials if trial.role not in ARMS)
    offered = [each for trial in counted for each in candidates(trial, reports.get(trial.number, ()))]
    within = sorted((each for each in offered if each.violation <= 0), key=lambda each: (each.ended, each.trial))
    values = [each.values for each in within]
    box = study_box(values, directions, bounds(metrics, directions, study.size_limit, study.search.constraints))
    start = min((trial.started for trial in trials), default=0.0)
    shares = hypervolume_history(values, [0.0] * len(values), box)
    moments = {  # of several candidates of a trial, the last one's stays
        each.trial: Moment(each.trial, each.ended - start, share) for each, share in zip(within, shares, strict=True)
    }
    return Reached(front_of(within, study), box, tuple(moments.values()))
