"""What fresh seeds confirm: which trials are evidence, which of them is the best, and on which seeds two are compared.

A study that goes on with another `search.fresh_seeds` trains its finalists, control and arms again, so trials on three
seeds may stand beside others on five. Two of them are compared on the seeds that both have, wherever they are compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import TypeVar

from neurosearch.config.search import Objective
from neurosearch.config.trial import config_key
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import ranked

_T = TypeVar("_T")


def confirmed(trials: Sequence[TrialSummary]) -> tuple[TrialSummary, ...]:
    """Returns finalists, control and arms that ended with networks on fresh seeds alone, by number.

    Fresh is what no trial of the search ran on; without finalists, say, the control is trained on the seeds of the
    search. Of a network that was trained again in the same role, the trial with the most seeds stands for it, of
    equal ones the last.

    Args:
        trials: All of a study, in any state.
    """
    seen = {seed for trial in trials if trial.role == "search" for seed in trial.seeds}
    fresh = [each for each in trials if each.role != "search" and each.per_seed and seen.isdisjoint(each.seeds)]
    ended = [each for each in fresh if each.state in ("finished", "infeasible")]
    of_networks = {
        (each.role, config_key(each.config)): each
        for each in sorted(ended, key=lambda each: (len(each.per_seed), each.number))
    }
    return tuple(sorted(of_networks.values(), key=lambda each: each.number))


def by_seed(trial: TrialSummary, values: Sequence[_T]) -> dict[int, _T]:
    """Returns what is known of each network of a trial by the seed that it was trained on.

    Args:
        trial: The trial.
        values: One for each seed that was trained to its end, in the order of its seeds.
    """
    return dict(zip(trial.seeds, values, strict=False))


def common_seeds(one: TrialSummary, other: TrialSummary) -> tuple[int, ...]:
    """Returns the seeds that both were trained on to the end: those that they are compared on."""
    theirs = by_seed(other, other.per_seed)
    return tuple(seed for seed in by_seed(one, one.per_seed) if seed in theirs)


def paired_networks(
    one: TrialSummary, other: TrialSummary
) -> tuple[tuple[Mapping[str, float], Mapping[str, float]], ...]:
    """Returns the metrics of two trials on each of their common seeds."""
    ours, theirs = by_seed(one, one.per_seed), by_seed(other, other.per_seed)
    return tuple((ours[seed], theirs[seed]) for seed in common_seeds(one, other))


def best_confirmed(trials: Iterable[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Returns the best feasible one of trials that are confirmed; any two are compared on the seeds that both have."""
    by_worth = ranked(trials, objective)
    return reduce(partial(_better, objective), by_worth) if by_worth else None


def _better(objective: Objective, best: TrialSummary, other: TrialSummary) -> TrialSummary:
    """Returns the better of two; as they are ranked by all of their seeds, unless those that both have say other."""
    if set(best.seeds) == set(other.seeds):
        return best
    sign = 1 if objective.direction == "maximize" else -1
    gains = [sign * (new[objective.metric] - old[objective.metric]) for old, new in paired_networks(best, other)]
    return other if sum(gains) > 0 else best
