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

Shape letters: s samples, u units.
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
        means = values.mean(0)
        centred = values - means
        products = centred.T @ centred  # (u, u)
        squares = products.diagonal()
        still = squares <= _least(means.detach(), squares.detach(), len(values))
        scales = squares.masked_fill(still, math.inf).rsqrt()
        correlations = (products * scales * scales[:, None]).abs()
        tree = spanning_tree(correlations.detach())
        return torch.where(tree, correlations, 0).sum() / (len(tree) - 1)


def _full_precision(device: str) -> AbstractContextManager[None]:
    is_known = torch.amp.is_autocast_available(device)  # not on meta, where memory is predicted
    return torch.autocast(device, enabled=False) if is_known else nullcontext()


def _least(means: Tensor, squares: Tensor, num_samples: int) -> Tensor:
    """Return the sum of squares up to which a unit counts as one that does not vary, `(u,)`."""
    limits = torch.finfo(squares.dtype)
    rounding = num_samples * (8 * limits.eps * means).square()  # what a constant comes to
    return rounding + _LEAST_SHARE**2 * squares.mean() + limits.tiny


def spanning_tree(similarity: Tensor) -> Tensor:
    """Return the pairs that join all units by the largest sum of similarities: a minimum spanning tree of 1 - s.

    Boruvka's way: every tree takes the best pair that leaves it, and all are joined at once; ceil(log2 u) such rounds
    leave one tree, for each at least halves their number. Equal pairs have an order, so no ring can close. Shapes and
    rounds depend on u alone, so nothing waits for the device.

    Args:
        similarity: Symmetric, `(u, u)`; of equal ones that of the first pair counts as the largest. The diagonal is not
            read.

    Returns:
        True above the diagonal where a pair is of the tree, `(u, u)`, u - 1 in all.
    """
    size = len(similarity)
    tree = torch.zeros_like(similarity, dtype=torch.bool)
    trees = torch.arange(size, device=similarity.device)  # (u,) each unit's tree, by the label of one of its units
    for _ in range((size - 1).bit_length()):
        best = _best_pairs(similarity, trees)
        tree.view(-1).index_fill_(0, best, True)  # not `[best] = True`, which copies the number to the device and waits
        trees = _joined(trees, best)
    tree[0, 0].fill_(False)  # where labels wrote that have no pair
    return tree


def _best_pairs(similarity: Tensor, trees: Tensor) -> Tensor:
    """Return by label the best pair i < j that leaves a tree, as i * u + j; 0 for labels of no tree, `(u,)`."""
    size, units = len(trees), torch.arange(len(trees), device=trees.device)
    leaving = similarity.masked_fill(trees[:, None] == trees, -math.inf)
    nearest = leaving.argmax(1)  # (u,) the first of equal ones, which is also that of the first pair
    values = leaving.gather(1, nearest[:, None]).squeeze(1)
    pairs = torch.minimum(units, nearest) * size + torch.maximum(units, nearest)
    largest = torch.full_like(values, -math.inf).scatter_reduce(0, trees, values, "amax")  # (u,) by label
    is_best = (values == largest[trees]) & (values > -math.inf)
    none = size * size
    best = torch.full_like(pairs, none).scatter_reduce(0, trees, pairs.masked_fill(~is_best, none), "amin")
    return best.masked_fill(best == none, 0)


def _joined(trees: Tensor, best: Tensor) -> Tensor:
    """Return the trees after each was joined by its best pair; a label without one stays as it is."""
    labels = torch.arange(len(trees), device=trees.device)
    first, second = trees[best // len(trees)], trees[best % len(trees)]
    parents = torch.where(best > 0, torch.where(first == labels, second, first), labels)
    # The best of all pairs that leave some trees is chosen from both its ends; the smaller label stands for both.
    is_top = (parents[parents] == labels) & (labels < parents)
    parents = torch.where(is_top, labels, parents)
    for _ in range(len(trees).bit_length()):
        parents = parents[parents]
    return parents[trees]
