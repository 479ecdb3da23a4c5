"""Several objectives at once: who dominates whom, and how spread out a front is.

Shapes: P points, O objectives. `losses` (P, O) are values whose smaller is better (`as_losses`); `violations` (P,) say
by how much a point breaks its limits, 0 or less for a point within them. Constrained domination after Deb et al. 2002
(A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, section VI): a smaller violation dominates a larger one,
and between equal ones the objectives decide. It is a strict partial order, so ranks are well defined.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurosearch.config.search import Direction

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

_BLOCK = 500


def as_losses(values: Sequence[Sequence[float]], directions: Sequence[Direction]) -> Floats:
    """Returns values (P, O) as losses: what is maximised changes its sign."""
    signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in directions])
    losses: Floats = np.array(values, dtype=np.float64).reshape(len(values), len(directions)) * signs
    return losses


def non_dominated_ranks(losses: Floats, violations: Sequence[float]) -> Ranks:
    """Returns the rank of each point (P,): 0 for those that none dominates, 1 once these are taken away, and so on."""
    excesses = np.maximum(np.array(violations, dtype=np.float64), 0.0)
    ranks = np.zeros(len(losses), dtype=np.int64)
    first = 0
    for excess in np.unique(excesses):  # rising; whoever breaks its limits more comes after all who break them less
        group = np.flatnonzero(excesses == excess)
        ranks[group] = first + _ranks_of_equals(losses[group])
        first = int(ranks[group].max()) + 1
    return ranks


def pareto_front(
    values: Sequence[Sequence[float]], directions: Sequence[Direction], violations: Sequence[float]
) -> tuple[int, ...]:
    """Returns which points are on the Pareto front: within their limits, and none within its limits dominates them.

    Equal points are on it together. They come in the order of the first objective, best first.
    """
    losses = as_losses(values, directions)
    within = np.flatnonzero(np.array(violations, dtype=np.float64) <= 0)
    chosen = within[:0]
    for start in range(0, within.size, _BLOCK):  # a front is small beside all points, whose table would be their square
        rivals = np.concatenate([chosen, within[start : start + _BLOCK]])
        chosen = rivals[~_domination(losses[rivals]).any(axis=0)]
    return tuple(int(index) for index in sorted(chosen, key=lambda index: (*losses[index], index)))


def margins(losses: Floats, scales: Floats) -> Floats:
    """Returns how much each point of a front offers over its nearest rival (P,): the larger, the lonelier.

    The margin of p is the least over the others q of max over objectives of (q - p) / scale: the additive epsilon by
    which the front would lose if p were left out (the epsilon indicator of Zitzler and Kuenzli 2004). The best point of
    an objective that no other shares has an infinite one, so the ends of a front come first.

    It stands where NSGA-II has its crowding distance. By that one a point may fall behind when it gets better, because
    its own falls or its neighbour's rises; by its margin it never does.

    Args:
        losses: Losses of one front, shape (P, O).
        scales: What counts as 1 in each objective, shape (O,), positive.
    """
    num_points = len(losses)
    if num_points == 1:
        return np.array([np.inf])
    scaled = losses / scales
    gains = np.full((num_points, num_points), -np.inf)  # (P, P): what the row offers over the column
    for loss in scaled.T:
        np.maximum(gains, loss[np.newaxis, :] - loss[:, np.newaxis], out=gains)
    np.fill_diagonal(gains, np.inf)
    best_two = np.sort(losses, axis=0)[:2]  # (2, O)
    is_end = ((losses == best_two[0]) & (best_two[0] < best_two[1])).any(axis=1)
    found: Floats = np.where(is_end, np.inf, gains.min(axis=1))
    return found


def _ranks_of_equals(losses: Floats) -> Ranks:
    """Returns the ranks of points that break their limits equally."""
    if min(losses.shape) == 1:  # one point or one objective: the order of the values is all there is
        return np.unique(losses[:, 0], return_inverse=True)[1]
    dominates = _domination(losses)
    num_dominators = dominates.sum(axis=0)
    ranks = np.full(len(losses), -1, dtype=np.int64)
    rank = 0
    while (ranks < 0).any():
        free = np.flatnonzero((num_dominators == 0) & (ranks < 0))
        ranks[free] = rank
        num_dominators -= dominates[free].sum(axis=0)
        rank += 1
    return ranks


def _domination(losses: Floats) -> NDArray[np.bool_]:
    """Returns whether the row's point dominates the column's, shape (P, P)."""
    no_worse = np.ones((len(losses), len(losses)), dtype=np.bool_)
    for loss in losses.T:  # one objective at a time: no array of shape (P, P, O)
        no_worse &= loss[:, np.newaxis] <= loss[np.newaxis, :]
    dominates: NDArray[np.bool_] = no_worse & ~no_worse.T
    return dominates
