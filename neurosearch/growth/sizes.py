"""Which trained weight holds the size of which group, and what one of it stands for.

Shape letters: w size weights.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from neurosearch.neurons import SurgeryError, Units, growth_refusals
from neurosearch.neurons.plan import group_by_name

SizeUnit = Literal["share", "neurons"]
Sharing = Literal["each", "all"] | tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class SizeMap:
    """How size weights become sizes.

    Attributes:
        base: Neurons of each group in the configured network.
        minimum: Fewest neurons that each group can hold.
        weight: Index of the weight that holds each group's size.
        scale: Neurons that a weight of 1 stands for: the group's base size, or 1.
        fixed: Groups that keep their size, and why in words.
    """

    base: Mapping[str, int]
    minimum: Mapping[str, int]
    weight: Mapping[str, int]
    scale: Mapping[str, float]
    fixed: Mapping[str, str]

    @property
    def num_weights(self) -> int:
        """Number of weights w."""
        return max(self.weight.values()) + 1

    def sizes(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the size of each group in neurons, a scalar, from the weights `(w,)`."""
        each = weights.unbind()
        return {name: each[index] * self.scale[name] for name, index in self.weight.items()}

    def whole(self, name: str, size: float) -> int:
        """Return a size as a number of neurons that the group can hold."""
        return max(self.minimum[name], int(size))

    def from_share(self, share: float) -> list[float]:
        """Return the value of each weight at which its groups have this share of their base size."""
        return self.smallest({name: share * base for name, base in self.base.items()})

    def smallest(self, sizes: Mapping[str, float]) -> list[float]:
        """Return the value of each weight at which none of its groups is larger than its size here, in neurons."""
        found: list[list[float]] = [[] for _ in range(self.num_weights)]
        for name, index in self.weight.items():
            found[index].append(sizes[name] / self.scale[name])
        return [min(values) for values in found]


def size_map(units: Units, unit: SizeUnit, sharing: Sharing) -> SizeMap:
    """Return the size weights of a network's groups.

    Groups that cannot grow exactly keep their size: those over which a mean or variance is taken, for example.

    Args:
        units: The configured network's units.
        unit: `share`: a weight is a share of its group's base size; `neurons`: it counts neurons.
        sharing: `each` group has a weight of its own, one serves `all`, or sets of groups share one each and the
            groups in none of them have their own.

    Raises:
        SurgeryError: If no group can have a trained size, if `sharing` names a group that cannot, or if groups of
            different base sizes shall share a count of neurons.
    """
    fixed = growth_refusals(units, "gated")
    groups = [group for group in units.groups if group.name not in fixed]
    if not groups:
        raise SurgeryError(f"no group of this network can have a trained size: {_told(fixed) or 'it has none'}.")
    sets = _sets(units, [group.name for group in groups], sharing, fixed)
    base = {group.name: group.size for group in groups}
    if unit == "neurons":
        _check_same_size(sets, base)
    return SizeMap(
        base=base,
        minimum={group.name: max(1, group.minimum) for group in groups},
        weight={name: index for index, names in enumerate(sets) for name in names},
        scale={name: float(size) if unit == "share" else 1.0 for name, size in base.items()},
        fixed=fixed,
    )


def _told(fixed: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({why})" for name, why in fixed.items())


def _sets(units: Units, names: Sequence[str], sharing: Sharing, fixed: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the groups of each weight."""
    if sharing == "all":
        return [tuple(names)]
    asked = () if sharing == "each" else sharing
    for name in (name for each in asked for name in each):
        group_by_name(units, name)
        if name in fixed:
            raise SurgeryError(f"sharing names group {name}, whose size cannot be trained: {fixed[name]}. Take it out.")
    named = {name for each in asked for name in each}
    return [*asked, *((name,) for name in names if name not in named)]


def _check_same_size(sets: Iterable[tuple[str, ...]], base: Mapping[str, int]) -> None:
    for names in sets:
        if len({base[name] for name in names}) > 1:
            sizes = ", ".join(f"{name} has {base[name]} neurons" for name in names)
            raise SurgeryError(
                f"groups of different sizes share one size weight, but size_unit is neurons: {sizes}. Set size_unit: "
                "share, or let groups of one size share a weight."
            )
