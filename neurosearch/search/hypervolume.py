"""How much a front has reached: the share of a box that its points dominate.

The box spans, in each objective, from the ideal value to the worst one that still counts. So a hypervolume is a share
in [0, 1] whatever the units are: 0 for a front that offers nothing, 1 for one point that is ideal in everything. It is
exact: each point adds what it alone dominates (While et al. 2012, A Fast Way of Calculating Exact Hypervolumes), down
to a sweep in the plane.
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
    losses = _losses(values, box)
    return _dominated(losses[(losses < 1).all(axis=1)])


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
            share += max(_gain(point, front, box), 0.0)  # a gain of nothing may round below it
            front = [point, *(other for other in front if not _covers(point, other, box))]
        history.append(share)
    return tuple(history)


def _gain(point: Sequence[float], front: Sequence[Sequence[float]], box: Box) -> float:
    """Returns the share of the box that a point dominates and a front does not."""
    losses = _losses([point, *front], box)
    if not len(losses) or (losses[0] >= 1).any():
        return 0.0
    return _exclusive(losses[0], losses[1:])


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


def _losses(values: Sequence[Sequence[float]], box: Box) -> Floats:
    """Returns where points lie between the ideal (0) and the worst (1), shape (P, O).

    None at all where the limit allows the ideal value alone: there is nothing to gain.
    """
    ideal, worst = np.array(box.ideal), np.array(box.worst)
    if (ideal == worst).any():
        return np.empty((0, len(ideal)))
    points = np.array(values, dtype=np.float64).reshape(len(values), len(ideal))
    losses: Floats = np.maximum((points - ideal) / (worst - ideal), 0.0)
    return losses


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
    losses = losses[::-1]  # the worst in the last objective first: beside the later ones it is as they are in that
    return sum(
        (1.0 - float(point[-1])) * _exclusive(point[:-1], losses[i + 1 :, :-1]) for i, point in enumerate(losses)
    )


def _exclusive(point: Floats, others: Floats) -> float:
    """Returns the volume that a point (O,) dominates and others (P, O) do not: its own but for what they share."""
    own = float(np.prod(1.0 - point))
    if not len(others):
        return own
    shared = np.maximum(others, point)
    return own - _dominated(_undominated(shared[(shared < 1).all(axis=1)]))


def _undominated(losses: Floats) -> Floats:
    """Returns the points that no other is as good as, each once."""
    distinct = np.unique(losses, axis=0)
    as_good = np.ones((len(distinct), len(distinct)), dtype=np.bool_)
    for loss in distinct.T:
        as_good &= loss[:, np.newaxis] <= loss[np.newaxis, :]
    np.fill_diagonal(as_good, val=False)
    found: Floats = distinct[~as_good.any(axis=0)]
    return found


def _dominated_in_the_plane(losses: Floats) -> float:
    """Returns the area of points (P, 2) that are sorted by their second loss."""
    widths = 1.0 - np.minimum.accumulate(losses[:, 0])
    return float((widths * np.diff(losses[:, 1], append=1.0)).sum())
