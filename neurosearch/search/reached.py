"""What a study with several objectives has reached: its front, and how that grew from trial to trial."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurosearch.config.study import StudyFields
from neurosearch.search.front import pareto_front
from neurosearch.search.hypervolume import Box, bounds, hypervolume_history, study_box
from neurosearch.search.seams import TrialSummary


@dataclass(frozen=True)
class Moment:
    """The end of a feasible trial.

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
        front: The feasible trials that none dominates, best first by the first objective.
        box: What the hypervolume is a share of; all moments are measured by this one.
        history: Every feasible trial, in the order of their ends.
    """

    front: tuple[TrialSummary, ...]
    box: Box
    history: tuple[Moment, ...]

    @property
    def hypervolume(self) -> float:
        """Share of the box that the front dominates."""
        return self.history[-1].hypervolume if self.history else 0.0

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "front": [trial.number for trial in self.front],
            "hypervolume": self.hypervolume,
            "reference": list(self.box.worst),
            "ideal": list(self.box.ideal),
            "history": [[moment.trial, moment.seconds, moment.hypervolume] for moment in self.history],
        }


def reached(trials: Sequence[TrialSummary], study: StudyFields) -> Reached:
    """Returns what trials have reached together: a pure function of them and of the config."""
    objectives = study.search.objectives
    directions = [objective.direction for objective in objectives]
    metrics = [objective.metric for objective in objectives]
    ended = sorted((trial for trial in trials if trial.state == "finished"), key=_end)
    values = [trial.values for trial in ended]
    within = [0.0] * len(ended)
    box = study_box(values, directions, bounds(metrics, directions, study.size_limit, study.search.constraints))
    start = min((trial.started for trial in trials), default=0.0)
    shares = zip(ended, hypervolume_history(values, within, box), strict=True)
    return Reached(
        tuple(ended[index] for index in pareto_front(values, directions, within)),
        box,
        tuple(Moment(trial.number, _end(trial)[0] - start, share) for trial, share in shares),
    )


def _end(trial: TrialSummary) -> tuple[float, int]:
    assert trial.ended is not None  # it is finished
    return trial.ended, trial.number
