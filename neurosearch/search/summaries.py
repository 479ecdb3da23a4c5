"""Pure questions about trials: which is best, how many there are, what they say to each other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from neurosearch import names
from neurosearch.config.search import Objective
from neurosearch.config.study import StudyFields
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import Record, SummaryState, TrialSummary


@dataclass(frozen=True)
class Judgement:
    """What the study makes of a trial's outcome.

    Attributes:
        outcome: The outcome; a finished one without a usable objective has become a failed one.
        values: Objectives in the order of the config; None when it did not finish.
        violation: Sum of the shares by which it is beyond the size limit and the constraints; at most 0 within them.
    """

    outcome: TrialOutcome
    values: tuple[float, ...] | None
    violation: float


def judge(outcome: TrialOutcome, study: StudyFields) -> Judgement:
    """Returns what an outcome is worth to a study; of several seeds the one farthest beyond a bound counts for it."""
    if outcome.state != "finished":
        return Judgement(outcome, None, 0.0)
    reason = _unjudgeable(outcome.metrics, _judged_by(study))
    if reason is not None:
        return Judgement(TrialOutcome.failed(reason, outcome.epochs, outcome.seconds), None, 0.0)
    violation = max(violation_of(metrics, study) for metrics in (outcome.metrics, *outcome.per_seed))
    return Judgement(outcome, values_of(outcome.metrics, study), violation)


def missing_group(records: Sequence[Record], study: StudyFields) -> str | None:
    """Returns why a trial of these epochs is trained in vain; None if it is not.

    A group of classes that is empty after an epoch is so at the end; what else is missing may be measured then alone.
    """
    wanted = (metric for metric in _judged_by(study) if metric in names.GROUP_RECALLS)
    return _unjudgeable(records[-1]["metrics"], wanted) if records else None


def values_of(metrics: Mapping[str, float], study: StudyFields) -> tuple[float, ...] | None:
    """Returns the objectives in the order of the config; None where one is missing."""
    wanted = [objective.metric for objective in study.search.objectives]
    return tuple(metrics[metric] for metric in wanted) if all(metric in metrics for metric in wanted) else None


def violation_of(metrics: Mapping[str, float], study: StudyFields) -> float:
    """Returns by how much metrics are beyond the size limit and the constraints, as a sum of shares of the bounds.

    Within all bounds it is the (negative) share by which the nearest one is missed, so a sampler sees the distance.
    """
    excesses = [_excess(metrics[metric], bound, sign) for metric, bound, sign in _bounds(study) if metric in metrics]
    beyond = [excess for excess in excesses if excess > 0]
    return sum(beyond) if beyond else max(excesses, default=0.0)


def best_of(trials: Iterable[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Returns the best feasible finished trial; None when there is none."""
    return next(iter(ranked(trials, objective)), None)


def ranked(trials: Iterable[TrialSummary], objective: Objective) -> Sequence[TrialSummary]:
    """Returns the feasible finished trials, best first; equal ones by fewer parameters, then by number."""
    sign = 1 if objective.direction == "maximize" else -1

    def worth(trial: TrialSummary) -> tuple[float, float, int]:
        assert trial.value is not None
        return (sign * trial.value, -trial.metrics.get(names.PARAMETERS, 0.0), -trial.number)

    return sorted((trial for trial in trials if trial.state == "finished"), key=worth, reverse=True)


def best_seed(trial: TrialSummary, study: StudyFields) -> int:
    """Returns the index of the seed whose network a finished trial is exported by: within the bounds, the best one."""
    objective = study.search.objectives[0]
    sign = 1 if objective.direction == "maximize" else -1

    def worth(index: int) -> tuple[float, float, int]:
        metrics = trial.per_seed[index]
        return (-max(violation_of(metrics, study), 0.0), sign * metrics[objective.metric], -index)

    return max(range(len(trial.per_seed)), key=worth)


def counts(trials: Iterable[TrialSummary]) -> Mapping[str, int]:
    """Returns how many trials are in each state; a state without trials is there with 0."""
    found = Counter(trial.state for trial in trials)
    return {state: found[state] for state in get_args(SummaryState)}


def _unjudgeable(metrics: Mapping[str, float], wanted: Iterable[str]) -> str | None:
    """Returns why a network with these metrics cannot be judged; None if it has all that is wanted."""
    missing = next((metric for metric in wanted if metric not in metrics), None)
    if missing is None:
        return None
    return (
        f"the network has no {missing}; no class falls into that group with this training part. Choose another metric "
        "in search.objectives and search.constraints."
    )


def _judged_by(study: StudyFields) -> Iterator[str]:
    yield from (objective.metric for objective in study.search.objectives)
    yield from (metric for metric, _, _ in _bounds(study))


def _bounds(study: StudyFields) -> Iterator[tuple[str, float, int]]:
    """Yields metric, bound, and 1 for an upper or -1 for a lower bound."""
    if study.size_limit is not None:
        yield study.size_limit.metric, study.size_limit.maximum, 1
    for constraint in study.search.constraints:
        if constraint.at_most is not None:
            yield constraint.metric, constraint.at_most, 1
        if constraint.at_least is not None:
            yield constraint.metric, constraint.at_least, -1


def _excess(value: float, bound: float, sign: int) -> float:
    return sign * (value - bound) / (abs(bound) or 1.0)
