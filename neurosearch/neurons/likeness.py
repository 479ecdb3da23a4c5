"""Which units of a group are near-duplicates of each other, by their weights alone.

Shape letters: u units of a group, n numbers of a unit, p pairs.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosearch.neurons.anatomy import anatomy_of
from neurosearch.neurons.certificate import check_tensors
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.labels import Obstacle, Role
from neurosearch.neurons.merging import Merge, merge_refusals
from neurosearch.neurons.positions import positions_of
from neurosearch.neurons.units import Units

_ROWS = 512  # compared at once with all units: a wide layer's table of all pairs would be large
_ROUNDING = 1e-9  # exact duplicates are alike to this
_SUMMED = frozenset({Role.INCOMING, Role.THROUGH, Role.SHIFT, Role.MEAN})  # what a unit's sum is made of
_SCALES_WITH = frozenset({Role.INCOMING, Role.SHIFT, Role.OUTGOING})  # r times its sum may be r times its output


@dataclass(frozen=True, eq=False)
class Twins:
    """Near-duplicates among the units of a group; on the CPU, in order of their positions.

    Attributes:
        pairs: Their positions, the smaller one first, `(p, 2)`.
        likeness: How alike they are, at least the threshold and 1 if they do the same, `(p,)`.
        ratios: The first one's output in units of the second one's, `(p,)`.
    """

    pairs: Tensor
    likeness: Tensor
    ratios: Tensor


@torch.no_grad()
def near_duplicates(model: nn.Module, units: Units, threshold: float) -> dict[str, Twins]:
    """Return the pairs of units that do almost the same, for every group whose units can be merged.

    Our reading of arXiv:2405.01041, which compares the directions of the incoming weights, biases included. Where every
    operation on a group's units makes r times the result of r times the value (ReLU, pooling, sums), likeness is the
    cosine, and lengths may differ. Everywhere else units must be equal and not just parallel, so likeness is
    2 <a, b> / (<a, a> + <b, b>): the cosine, lowered where lengths differ. Running means and depthwise kernels belong
    to the weights; every other number of a unit (a normalisation's factor and running variance, a slope) is compared by
    itself, and the least likeness counts.

    Merging such a pair keeps the function if they are exact duplicates, in training and evaluation; under dropout in
    its mean only. Rounding is allowed for, so that 1 finds exact duplicates.

    This costs as much as a forward pass, in double precision, of half as many examples as a group has units through the
    layers that make it.

    Args:
        model: The network; unchanged.
        units: Its units.
        threshold: Least likeness, above 0 and at most 1.

    Raises:
        SurgeryError: If the threshold is out of range, or the units are not this model's.
    """
    if not 0 < threshold <= 1:
        raise SurgeryError(f"The threshold is {threshold}, but likeness is at most 1. Pass one above 0, such as 0.95.")
    tensors = anatomy_of(plain_model(model)).tensors
    check_tensors(tensors, units, "the model")
    refused = merge_refusals(units)
    names = [facts.name for facts in units.layout.groups if facts.name not in refused]
    return {name: _twins(tensors, units, units.layout.index[name], threshold) for name in names}


def merges_of(twins: Twins, removed: Collection[int]) -> tuple[Merge, ...]:
    """Return how removed units are merged: each into the most alike one that stays, if any is; the earlier in a tie."""
    gone = torch.tensor(sorted(removed), dtype=torch.long)
    goes = torch.isin(twins.pairs, gone)
    chosen = (goes[:, 0] != goes[:, 1]).nonzero().flatten()
    best: dict[int, tuple[float, Merge]] = {}
    rows = (twins.pairs[chosen], goes[chosen, 0], twins.likeness[chosen], twins.ratios[chosen])
    for (first, second), first_goes, likeness, ratio in zip(*(one.tolist() for one in rows), strict=True):
        one = Merge(first, second, ratio) if first_goes else Merge(second, first, 1 / ratio)
        known = best.get(one.source)
        if known is None or (-likeness, one.target) < (-known[0], known[1].target):
            best[one.source] = (likeness, one)
    return tuple(merge for _, (_, merge) in sorted(best.items()))


def _twins(tensors: Mapping[str, Tensor], units: Units, group: int, threshold: float) -> Twins:
    scales = _scales(units, group)
    vectors = list(_vectors(tensors, units, group))
    pairs, found = [], []
    for start in range(0, units.sizes[group], _ROWS):
        likeness = torch.stack([_likeness(one, start, scales=scales) for one in vectors]).amin(0)  # (rows, u - start)
        rows, columns = (likeness >= threshold - _ROUNDING).triu(1).nonzero(as_tuple=True)
        pairs.append(torch.stack([rows, columns], 1).cpu() + start)
        found.append(likeness[rows, columns].cpu())
    both = torch.cat(pairs)
    lengths = vectors[0].norm(dim=1).cpu() if scales else torch.ones(units.sizes[group], dtype=torch.float64)
    return Twins(both, torch.cat(found), lengths[both[:, 0]] / lengths[both[:, 1]])


def _scales(units: Units, group: int) -> bool:
    """Return whether r times the weights that make a unit, for r > 0, make r times its output."""
    bends = {Obstacle.BENDS, Obstacle.MOVES_ZERO} & units.layout.groups[group].obstacles.keys()
    return not bends and {part.role for part in units.layout.slices[group]} <= _SCALES_WITH


def _vectors(tensors: Mapping[str, Tensor], units: Units, group: int) -> Iterator[Tensor]:
    """Yield what units are compared by: what their sums are made of, then every other tensor; `(u, n)` each."""
    summed: list[Tensor] = []
    others: list[Tensor] = []
    for part in units.layout.slices[group]:
        if part.role != Role.OUTGOING:
            tensor = tensors[part.tensor].detach()
            tensor = tensor.cpu() if tensor.device.type == "mps" else tensor  # it has no double precision
            positions = positions_of(units, part, group)(torch.arange(units.sizes[group])).flatten().to(tensor.device)
            own = tensor.double().index_select(part.dimension, positions).movedim(part.dimension, 0)
            (summed if part.role in _SUMMED else others).append(own.reshape(units.sizes[group], -1))
    yield torch.cat(summed, 1)
    yield from others


def _likeness(vectors: Tensor, start: int, *, scales: bool) -> Tensor:
    """Return how alike some units, from `start` on, are to themselves and all later ones, `(rows, u - start)`."""
    later = vectors[start:]
    products = later[:_ROWS] @ later.T
    squares = later.square().sum(1)
    own = squares[:_ROWS, None]
    if scales:  # a unit without weights has no direction
        return products / (own * squares).sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(own + squares > 0, 2 * products / (own + squares), 1.0)
