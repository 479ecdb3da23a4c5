"""How alike the most alike units of a group are, along a spanning tree: "decorrelating neurons" (arXiv:2308.04870).

The paper takes neurons as vertices (of all layers, or those of each layer with the largest mean activation), their
activations in a batch as samples, and 1 - |Pearson correlation| as the length of an edge. The lengths of the minimum
spanning tree are the deaths of the zero-dimensional persistence diagram; their sum is made large, so that the most
alike neurons alone are pulled apart, which did better than pulling all pairs apart. Of its two terms this is T1; T2
weighs the lengths' mean against their standard deviation.

Our reading: a tree for each group of units, not one over all layers, since only units of one group can stand for each
other; the mean of |correlation| over the tree's edges, not the sum, so that the term stays as strong when the group
grows. A unit that does not vary has correlation 0 and no slope, as in the authors' code; so has one that varies at most
a hundredth as much as its group, since such slopes have no bound. The tree is a constant of the step.

A correlation c has a slope of the order of sqrt(1 - c^2), so nearly exact twins part slowly, and exact ones never.

Shape letters: s samples, u units, m pairs of units.
"""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_LEAST_SHARE = 0.01  # of the deviation of the group


def tree_correlation(activations: Tensor) -> Tensor:
    """Return the mean |correlation| over the edges of the spanning tree of the most alike units, in [0, 1].

    Args:
        activations: Of two or more units, `(s, u)`; float64 is kept, all else becomes float32.

    Returns:
        A scalar; gradients flow through the correlations of the tree's edges alone.
    """
    with _full_precision(activations.device.type):
        values = activations if activations.dtype == torch.float64 else activations.float()
        centred = values - values.mean(0)
        squares = centred.square().sum(0)
        still = squares <= _least(values.detach(), squares.detach())
        scaled = centred * squares.masked_fill(still, math.inf).rsqrt()
        correlations = (scaled.T @ scaled).abs()  # (u, u)
        tree = spanning_tree(correlations.detach())
        return torch.where(tree, correlations, 0).sum() / (len(tree) - 1)


def _full_precision(device: str) -> AbstractContextManager[None]:
    is_known = torch.amp.is_autocast_available(device)  # not on meta, where memory is predicted
    return torch.autocast(device, enabled=False) if is_known else nullcontext()


def _least(values: Tensor, squares: Tensor) -> Tensor:
    """Return the sum of squares up to which a unit counts as one that does not vary, `(u,)`."""
    limits = torch.finfo(values.dtype)
    rounding = len(values) * (limits.eps * values.abs().amax(0)).square()  # what a constant comes to
    return rounding + _LEAST_SHARE**2 * squares.mean() + limits.tiny


def spanning_tree(similarity: Tensor) -> Tensor:
    """Return the pairs that join all units by the largest sum of similarities: a minimum spanning tree of 1 - s.

    Boruvka's way: every tree takes the best pair that leaves it, and all are joined at once; ceil(log2 u) such rounds
    leave one tree, for each at least halves their number. Pairs are compared by their rank, which no two share, so no
    ring can close. Shapes and rounds depend on u alone, so nothing waits for the device.

    Args:
        similarity: Symmetric, `(u, u)`; of equal ones the first pair counts as the largest. The diagonal is not read.

    Returns:
        True above the diagonal where a pair is of the tree, `(u, u)`, u - 1 in all.
    """
    size = len(similarity)
    labels = torch.arange(size, device=similarity.device)
    pairs = torch.triu_indices(size, size, 1, device=similarity.device)  # (2, m)
    none = pairs.shape[1]  # what no rank reaches
    pairs = pairs[:, similarity[pairs[0], pairs[1]].argsort(descending=True, stable=True)]
    ranks = torch.full_like(similarity, none, dtype=torch.long)
    ranks[pairs[0], pairs[1]] = ranks[pairs[1], pairs[0]] = torch.arange(none, device=similarity.device)
    chosen = torch.zeros(none + 1, dtype=torch.bool, device=similarity.device)
    trees = labels  # (u,) each unit's tree, by the label of one of its units
    for _ in range((size - 1).bit_length()):
        leaving = torch.where(trees[:, None] == trees, none, ranks).amin(1)  # (u,)
        best = torch.full_like(labels, none).scatter_reduce(0, trees, leaving, "amin")  # (u,) by tree
        chosen[best] = True
        trees = _joined(trees, best, pairs)
    tree = torch.zeros_like(ranks, dtype=torch.bool)
    tree[pairs[0], pairs[1]] = chosen[:none]
    return tree


def _joined(trees: Tensor, best: Tensor, pairs: Tensor) -> Tensor:
    """Return the trees after each was joined by its best pair; a label without one stays as it is."""
    labels = torch.arange(len(trees), device=trees.device)
    first, second = trees[pairs[:, best.clamp(max=pairs.shape[1] - 1)]]
    other = torch.where(first == labels, second, first)
    parents = torch.where(best < pairs.shape[1], other, labels)
    # The best of all pairs that leave some trees is chosen from both its ends; the smaller label stands for both.
    is_top = (parents[parents] == labels) & (labels < parents)
    parents = torch.where(is_top, labels, parents)
    for _ in range(len(trees).bit_length()):
        parents = parents[parents]
    return parents[trees]
