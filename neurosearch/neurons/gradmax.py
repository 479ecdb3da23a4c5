"""Where new units should point so that the loss makes them move most: GradMax (arXiv:2201.05125).

One side of a new unit is 0, so the network computes what it did; the other side is chosen to make the gradient of the
0 side as large as its length allows. With h what the units are made from and s the loss's slope behind what uses them,
both from one forward and backward pass, that gradient is linear in the chosen side through one matrix of correlations
M = E[s h^T] (for convolutions: between all places of both kernels), and the best directions are M's singular vectors.

- Incoming weights 0 (the paper's way) where the activation maps 0 to 0 with a slope: left singular vectors, exactly
  the best ones (eq. 11).
- Outgoing weights 0 where it has no slope at 0 (relu in PyTorch), moves 0, or is preceded by a normalisation, whose
  slope at a constant is no guide: right singular vectors, best for a linear activation. For those dead at 0, both signs
  of each vector compete, and those win whose gradient behind a relu is largest.

The matrix itself is never made: a partial decomposition needs its products with few vectors alone, each of which costs
what a convolution with as many channels does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurosearch.neurons.correlation import LAYERS, Pair, padding
from neurosearch.neurons.directions import Directions
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.importance import Batch, Loss, evaluating
from neurosearch.neurons.labels import Obstacle, Role
from neurosearch.neurons.plan import group_by_name
from neurosearch.neurons.singular import leading_vectors
from neurosearch.neurons.units import Slice, Units

_NORM_ROLES = {Role.SCALE, Role.MEAN, Role.VARIANCE}
_SIMPLE_ROLES = {Role.INCOMING, Role.OUTGOING, Role.SHIFT} | _NORM_ROLES


def gradmax_directions(
    model: nn.Module,
    units: Units,
    batches: Iterable[Batch],
    counts: Mapping[str, int],
    *,
    loss: Loss = F.cross_entropy,
) -> dict[str, Directions]:
    """Find where new units should point, from one forward and backward pass over a few batches.

    Args:
        model: The network. Runs in eval mode; nothing of it changes. What the two layers of each group see is kept for
            all batches at once.
        units: Its units.
        batches: (inputs, targets) pairs; class-balanced ones point new units at rare classes, too.
        counts: For each group to grow, by name, how many units come.
        loss: Mean loss from outputs and targets.

    Returns:
        What `grow(..., start="gradmax", directions=...)` takes.

    Raises:
        SurgeryError: For a group that is not made by one and used by one plain linear or convolution layer, with only
            operations between them that keep the shape; a loss without slope; or no batch.
    """
    model = plain_model(model)
    pairs = [_pair(model, units, name, count) for name, count in counts.items() if count > 0]
    if not pairs:
        return {}
    with evaluating(model), _watching(pairs):
        for inputs, targets in batches:
            value = loss(model(inputs), targets) * len(targets)
            _check_calls(pairs)
            results = [pair.results.pop() for pair in pairs]
            slopes = torch.autograd.grad(value, results, allow_unused=True, materialize_grads=True)
            for pair, slope in zip(pairs, slopes, strict=True):
                pair.slopes.append(slope.to(pair.user.get_parameter("weight")))  # under autocast they are shorter
    if any(not pair.slopes for pair in pairs):
        raise SurgeryError("gradmax was given no batch. Pass at least one (inputs, targets) pair.")
    with torch.autocast(pairs[0].slopes[0].device.type, enabled=False):
        return {pair.group: _directions(pair) for pair in pairs}


def _pair(model: nn.Module, units: Units, name: str, count: int) -> Pair:
    """Return the layers around a group."""
    group_by_name(units, name)
    index = units.layout.index[name]
    slices, obstacles = units.layout.slices[index], units.layout.groups[index].obstacles
    makers = [part for part in slices if part.role == Role.INCOMING]
    users = [part for part in slices if part.role == Role.OUTGOING]
    others = {part.role for part in slices} - _SIMPLE_ROLES
    if len(makers) != 1 or len(users) != 1 or others:
        raise _unfit(
            name,
            f"{len(makers)} layers make and {len(users)} use its units"
            + "".join(f", one is {role}" for role in sorted(others)),
        )
    maker, user = (_layer(model, units, index, part) for part in (makers[0], users[0]))
    if type(maker) is not type(user):
        raise _unfit(name, f"a {type(maker).__name__} makes and a {type(user).__name__} uses its units")
    is_normed = any(part.role in _NORM_ROLES for part in slices)
    is_dead = Obstacle.DEAD_AT_ZERO in obstacles
    is_exact = not (is_normed or is_dead or Obstacle.MOVES_ZERO in obstacles)
    return Pair(name, count, maker, user, "incoming" if is_exact else "outgoing", is_dead, is_normed)


def _layer(model: nn.Module, units: Units, group: int, part: Slice) -> nn.Module:
    """Return the layer that holds a weight."""
    name = units.layout.groups[group].name
    owner, _, attribute = part.tensor.rpartition(".")
    layer = model.get_submodule(owner)
    blocks = units.layout.tensors[part.tensor]
    if attribute != "weight" or type(layer) not in LAYERS:
        raise _unfit(name, f"{part.tensor} belongs to no plain linear or convolution layer")
    if getattr(layer, "groups", 1) != 1 or getattr(layer, "padding_mode", "zeros") != "zeros":
        raise _unfit(name, f"{owner} has groups, or a padding that is not zeros")
    if padding(layer) is None:
        raise _unfit(name, f"{owner} has an even kernel with padding 'same'")
    if blocks[part.dimension] != ((group, 1),) or any(len(dimension) != 1 for dimension in blocks):
        raise _unfit(name, f"{part.tensor} holds other units beside its units, or several positions of each")
    return layer


def _unfit(name: str, why: str) -> SurgeryError:
    return SurgeryError(
        f"group {name} cannot grow with gradmax, which needs one linear or convolution layer that makes and one of the "
        f"same kind that uses the units: {why}. Choose another start, such as zero_outgoing."
    )


@contextmanager
def _watching(pairs: list[Pair]) -> Iterator[None]:
    """Note what goes into and comes out of the layers of each pair."""
    handles = []
    for pair in pairs:
        handles += [
            pair.maker.register_forward_hook(_see_maker(pair)),
            pair.user.register_forward_hook(_see_user(pair)),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _see_maker(pair: Pair) -> Callable[[nn.Module, Any, Tensor], None]:
    def see(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        pair.made_from.append(inputs[0].detach().to(pair.maker.get_parameter("weight")))
        pair.made.append(outputs.detach())

    return see


def _see_user(pair: Pair) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def see(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        outputs = outputs if outputs.requires_grad else outputs.detach().requires_grad_()
        pair.used.append(inputs[0].detach())
        pair.results.append(outputs)
        return outputs.clone()  # what follows may change it in place

    return see


def _check_calls(pairs: list[Pair]) -> None:
    """Check that each layer was called once for this batch, and that nothing between the two changed the shape."""
    for pair in pairs:
        batch = len(pair.slopes) + 1
        if len(pair.made) != batch or len(pair.used) != batch or len(pair.results) != 1:
            raise _unfit(pair.group, "one of its layers is not called exactly once")
        if pair.made[-1].shape != pair.used[-1].shape:
            shapes = f"{tuple(pair.made[-1].shape)} to {tuple(pair.used[-1].shape)}"
            raise _unfit(pair.group, f"what is between its layers changes the shape from {shapes}")


def _directions(pair: Pair) -> Directions:
    shape = (pair.outgoing_length, pair.incoming_length)
    if pair.zero == "incoming":
        vectors = leading_vectors(pair.outgoing_slopes, pair.incoming_slopes, shape, pair.count)
    else:
        vectors = leading_vectors(pair.incoming_slopes, pair.outgoing_slopes, shape[::-1], pair.count)
    if vectors is None:
        raise SurgeryError(
            f"group {pair.group}: the loss has no slope behind its units, so gradmax has no direction to choose. Pass "
            "other batches, or choose another start, such as zero_outgoing."
        )
    if pair.is_dead:
        vectors = _best_rectified(pair, vectors)
    return Directions(pair.zero, tuple(tuple(vector) for vector in vectors.tolist()))


def _best_rectified(pair: Pair, vectors: Tensor) -> Tensor:
    """Return those of the vectors, with either sign, whose outgoing weights get the largest gradient behind a relu."""
    both = torch.cat([vectors, -vectors])
    strengths = pair.outgoing_slopes(both, is_rectified=True).square().sum(1)
    return both[strengths.argsort(descending=True, stable=True)[: len(vectors)]]
