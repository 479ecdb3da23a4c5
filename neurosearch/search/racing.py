"""Racing: a configuration that is clearly worse than the best one so far is not trained on its last seeds.

Every configuration runs on the same seeds 0 to n - 1, which also fix initialisation and data order (common random
numbers), so two configurations are compared seed by seed. After each seed but the last there is a look, n - 1 in all.
The level of .05 is split evenly over them (Bonferroni): whatever the looks have to do with each other, a configuration
that is as good as its rival is then wrongly stopped in at most 5 % of all cases. A sequential design would spend the
level a little better, but for the few seeds of a search the difference is not worth its assumptions.

With two or three seeds a t-test alone is nearly blind, since it must learn the spread from two or three differences. So
the spread is shared: the configurations that have run on all seeds tell it, too (the residual of a two-way layout,
configuration + seed). It is never taken to be smaller than what the differences at hand show.

The level holds for a rival that was fixed beforehand. The best so far was chosen for its values, so it was also a bit
lucky, and whoever is raced against it must beat this luck: of its equals, more than 5 % stop early.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from neurosearch.config.search import Direction
from neurosearch.search.early_stopping import Verdict
from neurosearch.search.front import pareto_front

LEVEL = 0.05
#: Fewer degrees of freedom say nothing that a decision should rest on.
FEWEST_DEGREES = 4

#: Values of a configuration: one tuple of objectives for each of its seeds, from seed 0 on.
Values = Sequence[tuple[float, ...]]


@dataclass(frozen=True)
class Spread:
    """How far the difference of two configurations varies from seed to seed.

    Attributes:
        variance: Variance of the difference on one seed.
        degrees: Degrees of freedom that it was estimated with.
    """

    variance: float
    degrees: int


def spread_of(rows: Sequence[Sequence[float]]) -> Spread | None:
    """Returns the spread of differences among configurations, if they are enough to tell it.

    Args:
        rows: A row of values for each configuration that ran on all seeds, shape (configurations, seeds).
    """
    table = np.array(rows, dtype=np.float64)
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1) if table.ndim == 2 else 0
    if degrees < FEWEST_DEGREES:
        return None
    residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return Spread(2 * float((residuals**2).sum()) / degrees, degrees)


def clearly_worse(
    own: Sequence[float], rival: Sequence[float], direction: Direction, spread: Spread | None, level: float
) -> bool:
    """Tells whether a configuration is worse than its rival by a one-sided paired t-test.

    Args:
        own: Its values on seeds 0, 1, ...; at least one.
        rival: The rival's values on at least these seeds.
        direction: Whether more or less is better.
        spread: What other configurations say about the spread of such a difference. Without it, one seed never tells.
        level: How often this look may be wrong about two that are equal.
    """
    sign = 1.0 if direction == "minimize" else -1.0
    losses = [sign * (ours - theirs) for ours, theirs in zip(own, rival, strict=False)]
    mean = math.fsum(losses) / len(losses)
    variance, degrees = _shared(losses, spread)
    if mean <= 0 or degrees == 0:
        return False
    if variance == 0:  # sizes are the same on every seed; two scores may have agreed by chance
        return degrees >= FEWEST_DEGREES
    return float(stdtr(degrees, -mean * math.sqrt(len(losses) / variance))) < level


def race(
    metrics: Sequence[str], directions: Sequence[Direction], num_seeds: int, own: Values, others: Sequence[Values]
) -> Verdict:
    """Decides after a seed whether a configuration runs on the next one.

    Its rival is the best of the configurations that ran on all seeds, by their means. With several objectives the
    rivals are those of their Pareto front, and it must be clearly worse than one of them in every objective in which
    the two differ; the level is split over the rivals, too.

    Args:
        metrics: Name of each objective.
        directions: Direction of each objective.
        num_seeds: Seeds that each configuration should run on.
        own: Its values so far.
        others: Values of the configurations within their limits that ran on all seeds, in any order.
    """
    goes_on = Verdict(stop=False, rung=None, reason=f"goes on after seed {len(own)} of {num_seeds}")
    complete = [values for values in others if len(values) == num_seeds]
    if not own or len(own) >= num_seeds or not complete:
        return goes_on
    means = [tuple(map(_mean, zip(*values, strict=True))) for values in complete]
    rivals = [complete[index] for index in pareto_front(means, directions, [0.0] * len(means))]
    level = LEVEL / (num_seeds - 1) / len(rivals)
    for rival in rivals:
        worse = _clearly_worse_objectives(directions, own, rival, complete, level)
        if worse:
            told = ", ".join(_told(metrics[index], own, rival, index) for index in worse)
            return Verdict(
                True, None, f"stopped after seed {len(own)} of {num_seeds}: clearly worse on the same seeds, {told}"
            )
    return goes_on


def _clearly_worse_objectives(
    directions: Sequence[Direction], own: Values, rival: Values, complete: Sequence[Values], level: float
) -> list[int]:
    """Returns in which objectives the own values are clearly worse; none if they may be better in another."""
    worse = []
    for index, direction in enumerate(directions):
        ours, theirs = _column(own, index), _column(rival, index)[: len(own)]
        if ours == theirs:
            continue
        spread = spread_of([_column(values, index) for values in complete])
        if not clearly_worse(ours, theirs, direction, spread, level):
            return []
        worse.append(index)
    return worse


def _shared(losses: Sequence[float], spread: Spread | None) -> tuple[float, int]:
    """Returns variance and degrees of freedom of a difference, from its own values and from those of others."""
    own_degrees = len(losses) - 1
    own = float(np.var(losses, ddof=1)) if own_degrees else 0.0
    if spread is None:
        return own, own_degrees
    degrees = own_degrees + spread.degrees
    shared = (own_degrees * own + spread.degrees * spread.variance) / degrees
    return max(own, shared), degrees


def _told(metric: str, own: Values, rival: Values, index: int) -> str:
    return f"{metric} {_mean(_column(own, index)):.4g} against {_mean(_column(rival, index)[: len(own)]):.4g}"


def _column(values: Values, index: int) -> list[float]:
    return [each[index] for each in values]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
