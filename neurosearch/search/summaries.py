"""Pure questions about trials: which is best, how many there are, what they say to each other."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurosearch import names
from neurosearch.config.search import Objective
from neurosearch.config.study import SizeLimit
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import TrialSummary


@dataclass(frozen=True)
class Judgement:
    """What the study makes of a trial's outcome.

    Attributes:
        outcome: The outcome; a finished one without a usable objective has become a failed one.
        value: Objective of the final network; None when it failed.
        violation: By how much the network is above the size limit, as a share of the limit; at most 0 within it.
    """

    outcome: TrialOutcome
    value: float | None
    violation: float

    @property
    def feasible(self) -> bool:
        """Whether the final network may be the best."""
        return self.value is not None and self.violation <= 0


def judge(outcome: TrialOutcome, objective: Objective, limit: SizeLimit | None) -> Judgement:
    """Returns what an outcome is worth to a study."""
    if outcome.state == "failed":
        return Judgement(outcome, None, 0.0)
    value = outcome.metrics.get(objective.metric)
    if value is None:
        reason = (
            f"the final network has no {objective.metric}; no class falls into that group with this training part. "
            "Choose another search.objectives metric."
        )
        return Judgement(TrialOutcome.failed(reason, outcome.epochs, outcome.seconds), None, 0.0)
    violation = outcome.metrics[limit.metric] / limit.maximum - 1 if limit else 0.0
    return Judgement(outcome, value, violation)


def best_of(trials: Iterable[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Returns the best feasible finished trial; of equal ones the one with fewer parameters, then the earlier one."""
    sign = 1 if objective.direction == "maximize" else -1

    def worth(trial: TrialSummary) -> tuple[float, float, int]:
        assert trial.value is not None
        return (sign * trial.value, -trial.metrics.get(names.PARAMETERS, 0.0), -trial.number)

    return max((trial for trial in trials if trial.state == "finished"), key=worth, default=None)


def counts(trials: Iterable[TrialSummary]) -> Mapping[str, int]:
    """Returns how many trials are in each state; a state without trials is there with 0."""
    found = Counter(trial.state for trial in trials)
    return {state: found[state] for state in ("running", "finished", "infeasible", "failed")}
