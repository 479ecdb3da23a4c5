"""How new units begin: the values of the positions that a growth adds.

Every start is made in three passes over all grown groups: what makes the units, what uses them, and copies of what
makes them. The order matters where two grown groups meet in one weight: a silent unit stays silent towards new units,
and a copy copies its connections to them, too.

Shape letters: u new units, p positions of one unit in one dimension.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
import torch.nn.functional as F
from torch import Tensor

from neurosearch.neurons.directions import Directions
from neurosearch.neurons.labels import Role
from neurosearch.neurons.plan import Change
from neurosearch.neurons.positions import positions_of
from neurosearch.neurons.units import Slice, Units

_COPIES = frozenset({"shared_copy", "noisy_copy"})
_SHARE_LOW, _SHARE_HIGH = 0.3, 0.7  # of the outgoing weights: away from 1/2, so that a copy and its model part ways


@dataclass(frozen=True)
class _Place:
    """The new units of one change in one dimension of one tensor."""

    tensor: Tensor
    old: Tensor
    change: Change
    part: Slice
    positions: Callable[[Tensor], Tensor]
    size: int

    def new(self) -> Tensor:
        """Return the positions of the new units, `(u, p)`."""
        return self.positions(torch.arange(self.size - self.change.added, self.size))

    def read(self, positions: Tensor) -> Tensor:
        return self.tensor.index_select(self.part.dimension, positions.flatten().to(self.tensor.device))

    def write(self, positions: Tensor, values: Tensor) -> None:
        self.tensor.index_copy_(self.part.dimension, positions.flatten().to(self.tensor.device), values)

    def generator(self) -> torch.Generator:
        """Return the random numbers of this place, the same ones in every copy of the model and on every device."""
        label = f"{self.change.seed}/{self.part.tensor}/{self.part.dimension}/{self.change.group}"
        return torch.Generator().manual_seed(int.from_bytes(sha256(label.encode()).digest()[:7]))


def fill(tensors: Mapping[str, Tensor], old: Mapping[str, Tensor], units: Units, changes: Sequence[Change]) -> None:
    """Write the values of new units in place.

    Args:
        tensors: The tensors of the new widths, with 0 at every new position.
        old: The same tensors before.
        units: The units of the new widths.
        changes: Groups that grow.
    """
    places = [place for change in changes for place in _places(tensors, old, units, change)]
    for place in places:
        if place.part.role != Role.OUTGOING:
            _make(place)
    for place in places:
        if place.part.role == Role.OUTGOING:
            _use(place)
    for place in places:
        if place.part.role != Role.OUTGOING:
            _copy(place)


def _places(tensors: Mapping[str, Tensor], old: Mapping[str, Tensor], units: Units, change: Change) -> Iterator[_Place]:
    group = units.layout.index[change.group]
    for part in units.layout.slices[group]:
        if part.tensor in tensors:
            positions = positions_of(units, part, group)
            yield _Place(tensors[part.tensor], old[part.tensor], change, part, positions, units.sizes[group])


def _make(place: _Place) -> None:
    """Start what makes the units."""
    match place.part.role:
        case Role.INCOMING if place.change.start == "zero_incoming":
            pass
        case Role.INCOMING if place.change.directions is not None:
            if place.change.directions.zero == "outgoing":
                place.write(place.new(), _directed(place, place.change.directions))
        case Role.INCOMING | Role.THROUGH:
            place.write(place.new(), _random(place))
        case Role.SHIFT | Role.MEAN:
            pass
        case Role.VARIANCE:
            place.tensor.index_fill_(place.part.dimension, place.new().flatten().to(place.tensor.device), 1)
        case _:
            place.write(place.new(), _typical(place))


def _use(place: _Place) -> None:
    """Start what uses the units."""
    if place.change.start in {"gated", "zero_incoming"}:
        place.write(place.new(), _random(place))
    elif place.change.start == "symmetric_pair":
        first, second = place.new()[0::2], place.new()[1::2]
        values = _random(place, len(first))
        place.write(first, values)
        place.write(second, -values)
    elif place.change.start in _COPIES:
        _share(place)
    elif place.change.directions is not None and place.change.directions.zero == "incoming":
        place.write(place.new(), _directed(place, place.change.directions))


def _copy(place: _Place) -> None:
    """Let a unit's makers be those of another one."""
    if place.change.start == "symmetric_pair":
        place.write(place.new()[1::2], place.read(place.new()[0::2]))
    elif place.change.start in _COPIES:
        values = place.read(place.positions(_models(place)))
        if place.part.role == Role.INCOMING and place.change.noise:
            values = values + place.change.noise * _random(place)
        place.write(place.new(), values)


def _models(place: _Place) -> Tensor:
    """Return which old units are copied, `(u,)`: each once before any is copied twice."""
    old_size = place.size - place.change.added
    generator = torch.Generator().manual_seed(place.change.seed)
    rounds = -(-place.change.added // old_size)
    return torch.cat([torch.randperm(old_size, generator=generator) for _ in range(rounds)])[: place.change.added]


def _share(place: _Place) -> None:
    """Give each copy a share of the outgoing weights and leave the rest to its model."""
    models = _models(place)
    new = torch.arange(place.size - place.change.added, place.size)
    generator = torch.Generator().manual_seed(place.change.seed + 1)
    shares = torch.empty(len(models), dtype=torch.float64).uniform_(_SHARE_LOW, _SHARE_HIGH, generator=generator)
    for start in range(0, len(models), place.size - place.change.added):  # no unit twice in one round
        chosen = slice(start, start + place.size - place.change.added)
        source, target = place.positions(models[chosen]), place.positions(new[chosen])
        whole = place.read(source)
        share = shares[chosen].repeat_interleave(source.shape[1]).to(whole)
        share = share.reshape([-1 if index == place.part.dimension else 1 for index in range(whole.ndim)])
        given = whole * share
        place.write(target, given)
        place.write(source, whole - given)


def _random(place: _Place, num_units: int | None = None) -> Tensor:
    """Return normal values with the spread of the old ones, for all or the first `num_units` new units."""
    positions = place.new()[:num_units]
    shape = list(place.tensor.shape)
    shape[place.part.dimension] = positions.numel()
    values = torch.randn(shape, generator=place.generator(), dtype=_wide(place.tensor.dtype)).to(place.tensor)
    return values * _spread(place)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which values are drawn and squared: small float16 numbers have squares of 0."""
    return dtype if dtype == torch.float64 or dtype.is_complex else torch.float32


def _directed(place: _Place, directions: Directions) -> Tensor:
    """Return weights along the directions, each unit's as long as a random one's is on average."""
    dimension = place.part.dimension
    vectors = torch.tensor(directions.vectors, dtype=torch.float64)
    others = [size for index, size in enumerate(place.old.shape) if index != dimension]
    # A unit's positions in its dimension, where it has several, stand behind the first other one: (u, o, p).
    num_positions = place.new().shape[1]
    by_unit = vectors.reshape(len(vectors), others[0], num_positions, *others[1:])
    values = by_unit.movedim(0, 1).flatten(1, 2).movedim(1, dimension)
    # Nothing is known about units that come at the same time in another dimension: 0 towards them.
    missing = [new - old for new, old in zip(place.tensor.shape, place.old.shape, strict=True)]
    missing[dimension] = 0
    values = F.pad(values, [size for count in reversed(missing) for size in (0, count)])
    return values.to(place.tensor) * _spread(place) * math.sqrt(vectors.shape[1])


def _spread(place: _Place) -> Tensor:
    """Return the root mean square of the old values, or PyTorch's usual spread if all are 0."""
    length = torch.linalg.vector_norm(place.old, dtype=_wide(place.old.dtype))
    spread = length / math.sqrt(max(place.old.numel(), 1))
    fan_in = max(place.tensor.numel() // place.tensor.shape[0], 1)
    return torch.where(spread > 0, spread, torch.full_like(spread, (3 * fan_in) ** -0.5))


def _typical(place: _Place) -> Tensor:
    """Return what old units have on average: the mean size of a scale, or the last unit's value of whole numbers."""
    old = place.old
    dimension = place.part.dimension
    count = place.new().numel()
    if old.is_floating_point() or old.is_complex():
        mean = old.abs().mean(dimension, keepdim=True)
        value = torch.where(mean > 0, mean, torch.ones_like(mean))
    else:
        value = old.narrow(dimension, old.shape[dimension] - 1, 1)
    shape = list(place.tensor.shape)
    shape[dimension] = count
    if tuple(value.shape[:dimension] + value.shape[dimension + 1 :]) != tuple(
        shape[:dimension] + shape[dimension + 1 :]
    ):
        value = value.float().mean().to(old.dtype)  # another dimension grows, too
    return value.expand(shape).to(place.tensor)
