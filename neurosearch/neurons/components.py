"""Connected components of labels: first by what must be equal, then by how split dimensions can change."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurosearch.neurons.labels import LabelGraph, Labels, Obstacle, Product

FIXED_SPLIT = "it is split into blocks whose number and size are both fixed"
WHOLE_HEADS = "attention heads come and go as a whole, so their width stays"

SUMMED_WEIGHT = "a weight is scaled by a sum over all of it (as by spectral norm), which each unit changes"


class Components:
    """Which labels belong together, and which cannot change.

    Attributes:
        root: For each label, the smallest label of its component.
        is_frozen: For each label, whether its component cannot change.
    """

    def __init__(self, graph: LabelGraph) -> None:
        self._graph = graph
        self._freezes = list(graph.freezes)
        self.root = _roots_of_spans(graph)
        self._join(graph.left, graph.right)
        self._freeze_summed_weights()
        self._resolve(list(graph.products))

    def reasons(self) -> dict[int, str]:
        """Return, for the root of every frozen component, why it cannot change: the first reason that was given."""
        if not self._freezes:
            return {}
        roots = np.concatenate([self.root[labels] for labels, _ in self._freezes])
        which = np.repeat(np.arange(len(self._freezes)), [len(labels) for labels, _ in self._freezes])
        found, first = np.unique(roots, return_index=True)
        return {
            root: self._freezes[which[place]][1] for root, place in zip(found.tolist(), first.tolist(), strict=True)
        }

    def _freeze_summed_weights(self) -> None:
        """Freeze units over which a weight is summed up to be scaled by the sum, as spectral norm does.

        Each unit then changes the weights of all others. Where parameters are multiplied to make a weight, the summed
        positions are none of the weight's own, and nothing is frozen.
        """
        if not self._graph.sums:
            return
        computed = [labels for labels, obstacle, _ in self._graph.obstacles if obstacle == Obstacle.DERIVED]
        own = set(self.root[np.concatenate(computed)].tolist()) if computed else set()
        self._freezes += [
            (labels, SUMMED_WEIGHT) for labels in self._graph.sums if own.intersection(self.root[labels].tolist())
        ]
        self._join([], [])

    def _join(self, left: Sequence[Labels], right: Sequence[Labels]) -> None:
        if left:
            self.root = _joined(self.root, np.concatenate(left), np.concatenate(right))
        self.is_frozen = self._frozen()

    def _frozen(self) -> NDArray[np.bool_]:
        frozen_roots = np.zeros(self._graph.count, dtype=np.bool_)
        if self._freezes:
            frozen_roots[self.root[np.concatenate([labels for labels, _ in self._freezes])]] = True
        return frozen_roots[self.root]

    def _resolve(self, pending: list[Product]) -> None:
        """Let every split change either by its columns, in all rows at once, or by whole rows.

        A side that cannot change decides for the other one. Where both could, attention heads go as whole rows, and
        every other split keeps its number of rows, because code mostly names the number of blocks.
        """
        while pending:
            decided = [product for product in pending if self._changes(product) is not None]
            if not decided:
                self._choose(pending)
                continue
            for product in decided:
                side = product.columns if self._changes(product) == "columns" else product.rows
                self._graph.note(side, Obstacle.NEEDS_TWO, "code splits the dimension into blocks")
            self._join([product.whole for product in decided], [self._equal_to(product) for product in decided])
            pending = [product for product in pending if product not in decided]

    def _changes(self, product: Product) -> str | None:
        """Return along which side a split changes, or None while both sides could."""
        if self.is_frozen[product.rows].all():
            return "columns"
        return "rows" if self.is_frozen[product.columns].all() else None

    def _equal_to(self, product: Product) -> Labels:
        if self._changes(product) == "columns":
            return np.tile(product.columns, len(product.rows))
        return np.repeat(product.rows, len(product.columns))

    def _choose(self, pending: list[Product]) -> None:
        heads = set(self.root[np.concatenate(self._graph.whole_rows)].tolist()) if self._graph.whole_rows else set()
        whole = [product for product in pending if heads.intersection(self.root[product.rows].tolist())]
        # A merge follows the split whose parts it joins, so splits are chosen first.
        splits = [product for product in pending if product.is_split] or pending[:1]
        self._freezes += [(product.columns, WHOLE_HEADS) for product in whole]
        if not whole:
            self._freezes += [(product.rows, FIXED_SPLIT) for product in splits]
        self._join([], [])


def _roots_of_spans(graph: LabelGraph) -> Labels:
    """Return the roots that follow from whole spans of labels that are equal, one by one."""
    parents = {start: start for pair in graph.alike for start in pair}

    def find(start: int) -> int:
        while parents[start] != start:
            parents[start] = start = parents[parents[start]]
        return start

    for pair in graph.alike:
        first, second = sorted(map(find, pair))
        parents[second] = first
    root = np.arange(graph.count, dtype=np.int64)
    for start in parents:
        first, size = find(start), graph.sizes[start]
        root[start : start + size] = root[first : first + size]
    return root


def _joined(root: Labels, left: Labels, right: Labels) -> Labels:
    """Return the roots after joining pairs: the larger root of a pair points to the smaller, until all agree."""
    root = root.copy()
    while True:
        first, second = root[left], root[right]
        apart = first != second
        if not apart.any():
            return root
        left, right, first, second = left[apart], right[apart], first[apart], second[apart]
        np.minimum.at(root, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(jumped := root[root], root):
            root = jumped
