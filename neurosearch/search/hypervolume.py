"""How much a front has reached: the share of a box that its points dominate.

The box spans, in each objective, from the ideal value to the worst one that still counts. So a hypervolume is a share
in [0, 1] whatever the units are: 0 for a front that offers nothing, 1 for one point that is ideal in everything. It is
exact, by slicing (While et al. 2006, A Faster Algorithm for Calculating Hypervolume), down to a sweep in the plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurosearch.config.search import Constraint, Direction
from neurosearch.config.study import SizeLimit
from neurosearch.names import IDEALS
from neurosearch.search.front import Floats

# How far beyond the worst value an objective without a bound of its own counts, so that a front's end counts, too.
_ROOM = 1.1


@dataclass(frozen=True)
class Box:
    """What a hypervolume is a share of.

    Attributes:
        ideal: The best value of each objective: 1 for a score, 0 for a size, a loss or a time.
        worst: The reference point; a point that is not better in every objective dominates nothing.
    """

    ideal: tuple[float, ...]
    worst: tuple[float, ...]


def bounds(
    metrics: Sequence[str],
    directions: Sequence[Direction],
    limit: SizeLimit | None,
    constraints: Sequence[Constraint],
) -> tuple[float | None, ...]:
    """Returns the worst value of each objective that the study itself allows; None where it says nothing.

    That is the size limit or the constraint on this metric, if there is one, and 0 for a score.
    """
    return tuple(
        _bound(metric, direction, limit, constraints) for metric, direction in zip(metrics, directions, strict=True)
    )


def study_box(
    values: Sequence[Sequence[float]], directions: Sequence[Direction], allowed: Sequence[float | None]
) -> Box:
    """Returns the box of a study, a pure function of its config and of the points found so far.

    The reference is what the study allows (`bounds`). An objective without a bound, such as a size without a limit,
    counts up to 1.1 times the worst point so far: all moments of a history are measured by one box, but a later look
    may use a larger one. To compare studies, give them the same limits.

    Args:
        values: The points within their limits, shape (P, O).
        directions: Direction of each objective.
        allowed: Worst value of each objective that the study allows.
    """
    ideal = tuple(IDEALS[direction] for direction in directions)
    columns = [[point[index] for point in values] for index in range(len(directions))]
    found = (_ROOM * max(column, default=1.0) or 1.0 for column in columns)
    worst = (seen if bound is None else bound for seen, bound in zip(found, allowed, strict=True))
    return Box(ideal, tuple(worst))


def hypervolume(values: Sequence[Sequence[float]], box: Box) -> float:
    """Returns the share of the box that the points dominate.

    Args:
        values: Points within their limits, shape (P, O); dominated ones change nothing.
        box: What it is a share of.
    """
    ideal, worst = np.array(box.ideal), np.array(box.worst)
    if (ideal == worst).any():
        return 0.0  # the limit allows the ideal value alone: there is nothing to gain
    points = np.array(values, dtype=np.float64).reshape(len(values), len(ideal))
    shares = np.maximum((points - ideal) / (worst - ideal), 0.0)
    return _dominated(shares[(shares < 1).all(axis=1)])


def hypervolume_history(values: Sequence[Sequence[float]], violations: Sequence[float], box: Box) -> tuple[float, ...]:
    """Returns the hypervolume after each point, in the order in which they were found. It never falls.

    Args:
        values: Every point, also those beyond their limits, shape (P, O).
        violations: By how much each breaks its limits; those above 0 add nothing.
        box: What it is a share of.
    """
    history: list[float] = []
    front: list[Sequence[float]] = []
    share = 0.0
    for point, violation in zip(values, violations, strict=True):
        if violation <= 0 and not any(_covers(other, point, box) for other in front):
            front = [point, *(other for other in front if not _covers(point, other, box))]
            share = max(share, hypervolume(front, box))  # the same volume, summed in another order, may round lower
        history.append(share)
    return tuple(history)


def _bound(
    metric: str, direction: Direction, limit: SizeLimit | None, constraints: Sequence[Constraint]
) -> float | None:
    maximize = direction == "maximize"
    named = [constraint for constraint in constraints if constraint.metric == metric]
    found = [constraint.at_least if maximize else constraint.at_most for constraint in named]
    limits = [limit.maximum] if limit is not None and limit.metric == metric else []
    bounds_here = [float(bound) for bound in (*found, *limits) if bound is not None]
    if maximize:
        return max([0.0, *bounds_here])
    return min(bounds_here, default=None)


def _covers(point: Sequence[float], other: Sequence[float], box: Box) -> bool:
    """Tells whether a point is at least as good as another in every objective."""
    return all(
        a >= b if ideal > worst else a <= b
        for a, b, ideal, worst in zip(point, other, box.ideal, box.worst, strict=True)
    )


def _dominated(losses: Floats) -> float:
    """Returns the volume between points (P, O) in [0, 1) and the corner where every loss is 1."""
    if not len(losses):
        return 0.0
    if losses.shape[1] == 1:
        return 1.0 - float(losses.min())
    losses = losses[np.argsort(losses[:, -1], kind="stable")]
    if losses.shape[1] == 2:
        return _dominated_in_the_plane(losses)
    depths = np.diff(losses[:, -1], append=1.0)
    # Between two neighbouring depths of the last objective, what is dominated has the one cross-section.
    return sum(float(depth) * _dominated(losses[: i + 1, :-1]) for i, depth in enumerate(depths) if depth > 0)


def _dominated_in_the_plane(losses: Floats) -> float:
    """Returns the area of points (P, 2) that are sorted by their second loss."""
    widths = 1.0 - np.minimum.accumulate(losses[:, 0])
    return float((widths * np.diff(losses[:, 1], append=1.0)).sum())
