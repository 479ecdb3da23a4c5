"""What a network's neurons are: groups of units, and where in which tensor each unit's positions lie.

Nothing here holds a tensor: only names, sizes and positions, so these values are cheap to copy, to hash and to store.

A dimension of a tensor is described by blocks. A block of a group with repeat r lists the group's units in order, each
r times in a row; a fixed block is a number of positions that never change. Sizes of groups are kept apart from the
blocks, so the description of a network stays the same whatever its widths are.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

FIXED = -1


class Block(NamedTuple):
    """Positions of one dimension that lie side by side.

    Attributes:
        group: Index of the group whose units are listed, or `FIXED`.
        repeat: How often in a row each unit stands, or the number of positions of a fixed block.
    """

    group: int
    repeat: int


Dimension = tuple[Block, ...]


@dataclass(frozen=True)
class Group:
    """Units that are alike: a layer's neurons, or all channels of a residual stage.

    Attributes:
        name: Stable name: the module that makes these units.
        size: Number of units now.
        tensors: Names of the parameters and buffers that hold a part of each unit.
        minimum: Smallest size it can be pruned to.
    """

    name: str
    size: int
    tensors: tuple[str, ...]
    minimum: int


@dataclass(frozen=True)
class Frozen:
    """A dimension that cannot change, in whole or in part.

    Attributes:
        tensor: Name of the parameter or buffer.
        dimension: Index of the dimension.
        reason: Why it is not dynamic.
    """

    tensor: str
    dimension: int
    reason: str


@dataclass(frozen=True)
class GroupFacts:
    """What holds for a group whatever its size is.

    Attributes:
        name: Name of the group.
        minimum: Smallest size.
        obstacles: What new units cannot do, and why: maps a kind of obstacle (see `labels`) to words.
    """

    name: str
    minimum: int
    obstacles: Mapping[str, str]


@dataclass(frozen=True)
class Slice:
    """Where the units of one group lie in one dimension of one tensor.

    Attributes:
        tensor: Name of the parameter or buffer.
        dimension: Index of the dimension.
        role: What the positions do for the unit, such as `incoming` or `outgoing` (see `labels`).
    """

    tensor: str
    dimension: int
    role: str


class Binding(NamedTuple):
    """A number that a module's code reads and that must follow a group's size.

    Attributes:
        module: Name of the module.
        attribute: Name of its attribute.
        group: Index of the group.
        factor: Value of the attribute per unit.
    """

    module: str
    attribute: str
    group: int
    factor: int


@dataclass(frozen=True)
class Layout:
    """The part of a network's structure that no plan changes.

    Attributes:
        groups: Facts of each group, in order of first appearance in the model's parameters.
        tensors: Blocks of every dimension of every tensor that holds a part of a unit.
        roles: Role of each (tensor, dimension) with units.
        bindings: Attributes of modules that follow a size.
        frozen: What is not dynamic, and why.
    """

    groups: tuple[GroupFacts, ...]
    tensors: Mapping[str, tuple[Dimension, ...]]
    roles: Mapping[tuple[str, int], str]
    bindings: tuple[Binding, ...]
    frozen: tuple[Frozen, ...]

    @cached_property
    def slices(self) -> tuple[tuple[Slice, ...], ...]:
        """For each group, where its units lie."""
        found: list[list[Slice]] = [[] for _ in self.groups]
        for name, dimensions in self.tensors.items():
            for index, blocks in enumerate(dimensions):
                for group in sorted({block.group for block in blocks if block.group != FIXED}):
                    found[group].append(Slice(name, index, self.roles[name, index]))
        return tuple(tuple(slices) for slices in found)

    @cached_property
    def dynamic(self) -> dict[str, tuple[tuple[int, Dimension], ...]]:
        """For each tensor, the dimensions that hold units, and their blocks."""
        return {
            name: tuple(
                (index, blocks)
                for index, blocks in enumerate(dimensions)
                if any(block.group != FIXED for block in blocks)
            )
            for name, dimensions in self.tensors.items()
        }

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of each group by name."""
        return {facts.name: index for index, facts in enumerate(self.groups)}

    @cached_property
    def digest(self) -> str:
        """Hash of groups and blocks; equal for the same network at any widths."""
        return _digest(layout_to_json(self))


@dataclass(frozen=True)
class Units:
    """The units of a network as they are now.

    Attributes:
        layout: What no plan changes.
        sizes: Number of units of each group, in the layout's order.
    """

    layout: Layout
    sizes: tuple[int, ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups, with their sizes."""
        return tuple(
            Group(facts.name, size, tuple(dict.fromkeys(part.tensor for part in slices)), facts.minimum)
            for facts, size, slices in zip(self.layout.groups, self.sizes, self.layout.slices, strict=True)
        )

    @property
    def frozen(self) -> tuple[Frozen, ...]:
        """What is not dynamic, and why."""
        return self.layout.frozen

    @cached_property
    def digest(self) -> str:
        """Hash of layout and sizes: a plan fits a network exactly if this is equal."""
        return _digest([self.layout.digest, list(self.sizes)])

    def with_sizes(self, sizes: tuple[int, ...]) -> "Units":
        """Return the same network at other widths."""
        return replace(self, sizes=sizes)

    def settings(self) -> dict[tuple[str, str], int]:
        """Return the value of every attribute that follows a size, by module and attribute."""
        return {(one.module, one.attribute): one.factor * self.sizes[one.group] for one in self.layout.bindings}

    def length(self, blocks: Dimension) -> int:
        """Return the number of positions of a dimension."""
        return sum(repeat if group == FIXED else repeat * self.sizes[group] for group, repeat in blocks)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape that each tensor has at these widths."""
        lengths: dict[Dimension, int] = {}
        for dimensions in self.layout.tensors.values():
            for blocks in dimensions:
                if blocks not in lengths:
                    lengths[blocks] = self.length(blocks)
        return {name: tuple([lengths[blocks] for blocks in dims]) for name, dims in self.layout.tensors.items()}

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the shape that a tensor has at these widths."""
        return self.shapes[tensor]


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """Return the layout as plain lists and dicts."""
    return {
        "groups": [[facts.name, facts.minimum, dict(facts.obstacles)] for facts in layout.groups],
        "tensors": {
            name: [[list(block) for block in blocks] for blocks in dimensions]
            for name, dimensions in layout.tensors.items()
        },
        "roles": [[name, dimension, role] for (name, dimension), role in sorted(layout.roles.items())],
        "bindings": [list(binding) for binding in layout.bindings],
    }


def layout_from_json(value: Mapping[str, Any]) -> Layout:
    """Return the layout that `layout_to_json` wrote; what is frozen is not stored."""
    return Layout(
        groups=tuple(GroupFacts(name, minimum, dict(obstacles)) for name, minimum, obstacles in value["groups"]),
        tensors={
            name: tuple(tuple(Block(*block) for block in blocks) for blocks in dimensions)
            for name, dimensions in value["tensors"].items()
        },
        roles={(name, dimension): role for name, dimension, role in value["roles"]},
        bindings=tuple(Binding(*binding) for binding in value["bindings"]),
        frozen=(),
    )
