"""How labels go through a change of shape that keeps the order of the elements.

Dimensions are matched from the left in the smallest runs with equal products; within a run all dimensions are merged
into one and split again.
"""

from collections.abc import Iterator, Sequence
from math import prod

from neurosearch.neurons.labels import LabelGraph, Labels

Dims = tuple[Labels | None, ...]


def reshaped(graph: LabelGraph, dims: Dims, old: Sequence[int], new: Sequence[int]) -> Dims:
    """Return the labels of each new dimension.

    Args:
        graph: Where merges and splits of labelled dimensions are noted.
        dims: Labels of each old dimension.
        old: Old shape.
        new: New shape, with as many elements.
    """
    if 0 in old:  # an empty tensor has no positions to follow
        return (None,) * len(new)
    result: list[Labels | None] = []
    for (old_start, old_stop), (new_start, new_stop) in _runs(old, new):
        merged = _merge(graph, dims[old_start:old_stop], old[old_start:old_stop])
        result += _split(graph, merged, list(new[new_start:new_stop]))
    return tuple(result)


def _runs(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield matching runs of old and new dimensions as (start, stop) pairs."""
    i = j = 0
    while i < len(old) or j < len(new):
        first_i, first_j = i, j
        left = right = 1
        if i < len(old):
            left, i = old[i], i + 1
        if j < len(new):
            right, j = new[j], j + 1
        while left != right:
            if left < right:
                left, i = left * old[i], i + 1
            else:
                right, j = right * new[j], j + 1
        yield (first_i, i), (first_j, j)


def _merge(graph: LabelGraph, dims: Dims, sizes: Sequence[int]) -> Labels | None:
    merged: Labels | None = None
    length = 1
    for labels, size in zip(dims, sizes, strict=True):
        if size == 1 and labels is None and prod(sizes) > 1:
            continue  # adds no position
        is_first = length == 1 and merged is None
        merged = labels if is_first else graph.merge(merged, length, labels, size)
        length *= size
    return merged


def _split(graph: LabelGraph, labels: Labels | None, sizes: list[int]) -> list[Labels | None]:
    if labels is None:
        return [None] * len(sizes)
    result: list[Labels | None] = [None] * len(sizes)
    wide = [index for index, size in enumerate(sizes) if size > 1] or list(range(len(sizes)))[:1]
    for place, index in enumerate(wide[:-1]):
        rest = prod(sizes[later] for later in wide[place + 1 :])
        result[index], labels = graph.split(labels, sizes[index], rest)
        if labels is None:
            return result
    if wide:
        result[wide[-1]] = labels
    return result
