"""Labels of positions, and which of them belong together.

Every position of every dimension of every parameter and buffer gets an integer label. Rules say which labels must be
equal, which cannot change, and what an operation means for new units. Connected components of labels are the units.

Shape letters: n positions of a dimension, r rows and c columns of a split dimension.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


class Role(StrEnum):
    """What the positions of a tensor's dimension do for a unit."""

    INCOMING = "incoming"  # makes the unit: a row of a linear layer's weight
    OUTGOING = "outgoing"  # uses the unit: a column of the next layer's weight
    THROUGH = "through"  # turns the unit into itself: a depthwise kernel
    SHIFT = "shift"  # is added to the unit: a bias
    SCALE = "scale"  # is multiplied with the unit: a normalisation's weight
    MEAN = "mean"  # running mean
    VARIANCE = "variance"  # running variance
    DERIVED = "derived"  # the weight in use is computed from this tensor
    TIED = "tied"  # two roles at once: a weight that makes and uses the same unit
    OTHER = "other"


USES = frozenset({Role.OUTGOING, Role.TIED})  # the roles of a weight that a gate on the unit multiplies


class Obstacle(StrEnum):
    """What stands between a group and a way of adding or gating units."""

    NORMALISED = "normalised"  # mean or variance is taken over the units
    MIXED = "mixed"  # units meet units with no weight in between
    MOVES_ZERO = "moves_zero"  # an operation that does not map 0 to 0
    DEAD_AT_ZERO = "dead_at_zero"  # an operation whose derivative at 0 is 0
    BENDS = "bends"  # an operation that does not map r times a value to r times its result, for r > 0
    NO_OUTGOING = "no_outgoing"  # no weight uses the units
    NO_INCOMING = "no_incoming"  # no weight makes the units
    DERIVED = "derived"  # a weight is computed from parameters
    TIED = "tied"  # one tensor makes and uses the units
    NEEDS_TWO = "needs_two"  # with one unit alone, the code would mean another operation


@dataclass(frozen=True, eq=False)
class Product:
    """A dimension split in two, or two merged: whole[i * c + j] changes with rows[i] or with columns[j]."""

    whole: Labels
    rows: Labels
    columns: Labels
    is_split: bool


class LabelGraph:
    """Collects what a trace finds out about labels.

    Attributes:
        count: Number of labels.
        owners: Tensor and dimension of everything that owns labels; they were made in this order, before all others.
        starts: First label of each owner.
        lengths: Number of labels of each owner.
        roles: What the labels of an owner do, by its index.
        obstacles: Labels for which new units meet an obstacle, and words for it.
        products: Dimensions that were split or merged.
        whole_rows: Labels of rows that are units as a whole.
        freezes: Labels that cannot change, and why.
        floors: Labels and the smallest number of them.
        followers: Labels of which a module's attribute, by name, holds the number.
        followed: Labels of new tensors that code made wider than in a run at the model's own widths.
        sums: Labels over which products of parameters alone are summed.
        cuts: Parts of different lengths into which code cuts a dimension.
        alike: First labels of two spans that are equal, one by one.
        sizes: Length of each span, by its first label.
        left: Other labels that are equal...
        right: ...to these.
    """

    def __init__(self) -> None:
        self.count = 0
        self.owners: list[tuple[str, int]] = []
        self.starts: list[int] = []
        self.lengths: list[int] = []
        self.roles: dict[int, set[Role]] = {}
        self.obstacles: list[tuple[Labels, Obstacle, str]] = []
        self.products: list[Product] = []
        self.whole_rows: list[Labels] = []
        self.freezes: list[tuple[Labels, str]] = []
        self.floors: list[tuple[Labels, int]] = []
        self.followers: dict[tuple[str, str], list[Labels]] = {}
        self.followed: list[Labels] = []
        self.sums: list[Labels] = []
        self.cuts: list[list[Labels]] = []
        self.alike: list[tuple[int, int]] = []
        self.sizes: dict[int, int] = {}
        self.left: list[Labels] = []
        self.right: list[Labels] = []
        self._starts: dict[int, int] = {}
        self._seen: set[tuple[int, int]] = set()
        self._noted: set[tuple[int, str]] = set()
        self._splits: dict[tuple[int, int], Product] = {}
        self._sources: list[tuple[int, tuple[Labels, ...]]] = []  # first label of a split or merge, and of what it is
        self._kept: list[Labels] = []  # an id is only unique while its array lives

    def fresh(self, size: int) -> Labels:
        """Return new labels for `size` positions."""
        labels = np.arange(self.count, self.count + size, dtype=np.int64)
        if size:
            self._kept.append(labels)
            self._starts[id(labels)] = self.count
            self.sizes[self.count] = size
            self.count += size
        return labels

    def own(self, tensor: str, dimension: int, size: int) -> Labels:
        """Return new labels for a dimension of a parameter or buffer."""
        self.owners.append((tensor, dimension))
        self.starts.append(self.count)
        self.lengths.append(size)
        return self.fresh(size)

    def unify(self, first: Labels, second: Labels) -> None:
        """Let two dimensions of equal length change together, position by position."""
        assert first.shape == second.shape, (first.shape, second.shape)
        key = (id(first), id(second))
        if first is second or key in self._seen:
            return
        self._seen.add(key)
        starts = self._starts.get(id(first)), self._starts.get(id(second))
        if starts[0] is not None and starts[1] is not None:
            self.alike.append((starts[0], starts[1]))
            return
        self.left.append(first)
        self.right.append(second)

    def unify_rows(self, labels: Labels, num_rows: int) -> Labels:
        """Let the aligned positions of `num_rows` equal blocks change together; return the first block's labels."""
        table = labels.reshape(num_rows, -1)
        first: Labels = table[0]
        for row in table[1:]:
            self.left.append(first)
            self.right.append(row)
        return first

    def freeze(self, labels: Labels | None, reason: str) -> None:
        """Say that these positions cannot change."""
        if labels is not None and self._is_new(labels, "freeze"):
            self.freezes.append((labels, reason))

    def keep_above(self, labels: Labels, number: int) -> None:
        """Say that more than a number of these positions have to stay."""
        self.floors.append((labels, number))

    def note(self, labels: Labels | None, obstacle: Obstacle, words: str) -> None:
        """Say what an operation on these units means for new ones."""
        if labels is not None and self._is_new(labels, obstacle):
            self.obstacles.append((labels, obstacle, words))

    def play(self, labels: Labels | None, role: Role) -> None:
        """Say what a weight's dimension does for its units; of one that was split or merged, what it was made of."""
        if labels is None or not len(labels):
            return
        first = int(labels[0])
        owner = self.owner(first)
        if owner is not None:
            self.roles.setdefault(owner, set()).add(role)
        for source in () if owner is not None else self._made_of(first):
            self.play(source, role)

    def _made_of(self, label: int) -> tuple[Labels, ...]:
        """Return the labels of the dimensions from which a split or merge made the one that a label belongs to."""
        index = bisect_right(self._sources, label, key=lambda source: source[0]) - 1
        if index < 0:
            return ()
        first, sources = self._sources[index]
        return sources if label < first + self.sizes[first] else ()

    def owner(self, label: int) -> int | None:
        """Return the index of the (tensor, dimension) that a label was made for, or None."""
        index = bisect_right(self.starts, label) - 1
        return index if index >= 0 and label < self.starts[index] + self.lengths[index] else None

    def split(self, labels: Labels, num_rows: int, num_columns: int) -> tuple[Labels | None, Labels | None]:
        """Return labels of the two dimensions that a dimension of r * c positions is split into."""
        table = labels.reshape(num_rows, num_columns)
        if (table == table[0]).all():
            return None, table[0]
        if (table == table[:, :1]).all():
            first: Labels = table[:, 0]
            return first, None
        key = (id(labels), num_rows)
        if key not in self._splits:
            self._splits[key] = self._product(labels, self.fresh(num_rows), self.fresh(num_columns), is_split=True)
        product = self._splits[key]
        return product.rows, product.columns

    def merge(self, rows: Labels | None, num_rows: int, columns: Labels | None, num_columns: int) -> Labels | None:
        """Return labels of the dimension that two neighbouring dimensions are merged into."""
        if rows is None:
            return None if columns is None else np.tile(columns, num_rows)
        if columns is None:
            return np.repeat(rows, num_columns)
        return self._product(self.fresh(num_rows * num_columns), rows, columns, is_split=False).whole

    def prefer_rows(self, labels: Labels | None) -> None:
        """Say that these rows of a split are the units: attention heads, which work each on its own."""
        if labels is not None:
            self.whole_rows.append(labels)

    def _product(self, whole: Labels, rows: Labels, columns: Labels, *, is_split: bool) -> Product:
        product = Product(whole, rows, columns, is_split)
        self.products.append(product)
        made, sources = ((rows, columns), (whole,)) if is_split else ((whole,), (rows, columns))
        self._sources += [(int(one[0]), sources) for one in made]
        return product

    def _is_new(self, labels: Labels, what: str) -> bool:
        key = (id(labels), what)
        if key in self._noted:
            return False
        self._noted.add(key)
        self._kept.append(labels)
        return True
