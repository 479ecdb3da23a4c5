"""Where new units point: what a gradmax start hands from gradients to a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.labels import Role
from neurosearch.neurons.units import Units


@dataclass(frozen=True)
class Directions:
    """Where the weights of new units point, as `gradmax_directions` found them; plain numbers, so a plan can hold them.

    Attributes:
        zero: The side that starts at 0, "incoming" or "outgoing". The other one gets the directions.
        vectors: For each new unit its weights on that other side, flattened and of length 1.
    """

    zero: str
    vectors: tuple[tuple[float, ...], ...]


def checked(units: Units, name: str, count: int, start: str, directions: Mapping[str, Directions]) -> Directions | None:
    """Return the directions of a group's new units, None where the start has none.

    Raises:
        SurgeryError: If there are some where none are needed, none where some are, or they are of another size.
    """
    remedy = "Pass directions=gradmax_directions(model, units, batches, counts), made for these units and counts."
    if start != "gradmax":
        if name in directions:
            raise SurgeryError(f"group {name}: {start} takes no directions. Choose gradmax, or leave them out.")
        return None
    if name not in directions:
        raise SurgeryError(f"group {name}: gradmax needs gradients, which counts alone do not have. {remedy}")
    given = directions[name]
    wanted = _length(units, name, given.zero)
    lengths = [len(vector) for vector in given.vectors]
    if lengths != [wanted] * count:
        raise SurgeryError(
            f"group {name}: there are directions of {lengths} numbers where {count} of {wanted} are needed. {remedy}"
        )
    return given


def _length(units: Units, name: str, zero: str) -> int:
    """Return how many weights a unit has on the side that is not 0."""
    role = Role.OUTGOING if zero == "incoming" else Role.INCOMING
    index = units.layout.index[name]
    return sum(
        prod(units.shape(part.tensor)) // units.sizes[index] for part in units.layout.slices[index] if part.role == role
    )


def directions_of(value: Mapping[str, Any] | None) -> Directions | None:
    """Return the directions that were written as JSON."""
    if value is None:
        return None
    return Directions(str(value["zero"]), tuple(tuple(map(float, vector)) for vector in value["vectors"]))
