"""Where new units should point so that the loss makes them move most: GradMax (arXiv:2201.05125).

One side of a new unit is 0, so the network computes what it did; the other side is chosen to make the gradient of the
0 side as large as its length allows. With h what the units are made from and s the loss's slope behind what uses them,
both from one forward and backward pass, that gradient is linear in the chosen side through one matrix of correlations
M = E[s h^T] (for convolutions: between all places of both kernels), and the best directions are M's singular vectors.

- Incoming weights 0 (the paper's way) where the activation maps 0 to 0 with a slope: left singular vectors, exactly
  the best ones (eq. 11).
- Outgoing weights 0 where it has no slope at 0 (relu in PyTorch), moves 0, or is preceded by a normalisation, whose
  slope at a constant is no guide: right singular vectors, best for a linear activation. For those dead at 0, both signs
  of more vectors than are needed compete, and those win whose gradient behind a relu is largest.

Shape letters: i inputs of the makers, o outputs of the users, k and l places of the users' and makers' kernels, c
candidates, u new units.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurosearch.neurons.directions import Directions
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.importance import Batch, Loss, evaluating
from neurosearch.neurons.labels import Obstacle, Role
from neurosearch.neurons.plan import group_by_name
from neurosearch.neurons.singular import leading_vectors
from neurosearch.neurons.units import Slice, Units

_APPLY: dict[type[nn.Module], Callable[..., Tensor]] = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}
_NORM_ROLES = {Role.SCALE, Role.MEAN, Role.VARIANCE}
_SIMPLE_ROLES = {Role.INCOMING, Role.OUTGOING, Role.SHIFT} | _NORM_ROLES


@dataclass
class _Pair:
    """The two layers around a group, and what flowed through them."""

    group: str
    count: int
    maker: nn.Module
    user: nn.Module
    zero: str
    is_dead: bool
    is_normed: bool
    made_from: list[Tensor] = field(default_factory=list)
    made: list[Tensor] = field(default_factory=list)
    used: list[Tensor] = field(default_factory=list)
    results: list[Tensor] = field(default_factory=list)
    slopes: list[Tensor] = field(default_factory=list)


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
                pair.slopes.append(slope)
    if any(not pair.slopes for pair in pairs):
        raise SurgeryError("gradmax was given no batch. Pass at least one (inputs, targets) pair.")
    return {pair.group: _directions(pair) for pair in pairs}


def _pair(model: nn.Module, units: Units, name: str, count: int) -> _Pair:
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
    return _Pair(name, count, maker, user, "incoming" if is_exact else "outgoing", is_dead, is_normed)


def _layer(model: nn.Module, units: Units, group: int, part: Slice) -> nn.Module:
    """Return the layer that holds a weight."""
    name = units.layout.groups[group].name
    owner, _, attribute = part.tensor.rpartition(".")
    layer = model.get_submodule(owner)
    blocks = units.layout.tensors[part.tensor]
    if attribute != "weight" or type(layer) not in {nn.Linear, *_APPLY}:
        raise _unfit(name, f"{part.tensor} belongs to no plain linear or convolution layer")
    if getattr(layer, "groups", 1) != 1 or getattr(layer, "padding_mode", "zeros") != "zeros":
        raise _unfit(name, f"{owner} has groups, or a padding that is not zeros")
    if blocks[part.dimension] != ((group, 1),) or any(len(dimension) != 1 for dimension in blocks):
        raise _unfit(name, f"{part.tensor} holds other units beside its units, or several positions of each")
    return layer


def _unfit(name: str, why: str) -> SurgeryError:
    return SurgeryError(
        f"group {name} cannot grow with gradmax, which needs one linear or convolution layer that makes and one of the "
        f"same kind that uses the units: {why}. Choose another start, such as zero_outgoing."
    )


@contextmanager
def _watching(pairs: list[_Pair]) -> Iterator[None]:
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


def _see_maker(pair: _Pair) -> Callable[[nn.Module, Any, Tensor], None]:
    def see(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        pair.made_from.append(inputs[0].detach())
        pair.made.append(outputs.detach())

    return see


def _see_user(pair: _Pair) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def see(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        outputs = outputs if outputs.requires_grad else outputs.detach().requires_grad_()
        pair.used.append(inputs[0].detach())
        pair.results.append(outputs)
        return outputs.clone()  # what follows may change it in place

    return see


def _check_calls(pairs: list[_Pair]) -> None:
    """Check that each layer was called once for this batch, and that nothing between the two changed the shape."""
    for pair in pairs:
        batch = len(pair.slopes) + 1
        if len(pair.made) != batch or len(pair.used) != batch or len(pair.results) != 1:
            raise _unfit(pair.group, "one of its layers is not called exactly once")
        if pair.made[-1].shape != pair.used[-1].shape:
            shapes = f"{tuple(pair.made[-1].shape)} to {tuple(pair.used[-1].shape)}"
            raise _unfit(pair.group, f"what is between its layers changes the shape from {shapes}")


def _directions(pair: _Pair) -> Directions:
    seen = zip(pair.made_from, pair.used, pair.slopes, strict=True)
    matrix = torch.stack([_correlations(pair, *one) for one in seen]).sum(0)
    if not matrix.any():
        raise SurgeryError(
            f"group {pair.group}: the loss has no slope behind its units, so gradmax has no direction to choose. Pass "
            "other batches, or choose another start, such as zero_outgoing."
        )
    if pair.zero == "incoming":
        return _value(pair, leading_vectors(matrix, pair.count))
    vectors = leading_vectors(matrix.T, 2 * pair.count if pair.is_dead else pair.count)
    return _value(pair, _best_rectified(pair, vectors) if pair.is_dead else vectors)


def _value(pair: _Pair, vectors: Tensor) -> Directions:
    return Directions(pair.zero, tuple(tuple(vector) for vector in vectors.tolist()))


@torch.enable_grad()
def _correlations(pair: _Pair, inputs: Tensor, used: Tensor, slopes: Tensor) -> Tensor:
    """Return the correlations of one batch, `(o * k, i * l)`, in float64 on the CPU.

    Entry (o k, i l) is the derivative of the loss by a weight (i, l) that makes a unit used by weight (o, k) alone,
    when all between the two has slope 1.
    """
    shape, kernel = _weight(pair.user).shape, _weight(pair.user).shape[2:]
    sizes = list(used.shape)
    sizes[_channel(pair.user)] = shape[0]
    hidden = used.new_zeros(sizes, requires_grad=True)
    making = inputs.new_zeros((shape[0], *_weight(pair.maker).shape[1:]), requires_grad=True)
    made = _apply(pair.maker, inputs, making)
    rows = []
    for place in range(prod(kernel)):
        using = slopes.new_zeros(shape[0], shape[0], prod(kernel))
        using[:, :, place] = torch.eye(shape[0]).to(using)
        back = torch.autograd.grad(_apply(pair.user, hidden, using.view(shape[0], shape[0], *kernel)), hidden, slopes)
        rows.append(torch.autograd.grad(made, making, back, retain_graph=True)[0].flatten(1))
    return torch.stack(rows, 1).flatten(0, 1).detach().to("cpu", torch.float64)


@torch.enable_grad()
def _best_rectified(pair: _Pair, vectors: Tensor) -> Tensor:
    """Return those of the vectors, with either sign, whose outgoing weights get the largest gradient behind a relu."""
    shape = _weight(pair.user).shape
    total = torch.zeros((), device=_weight(pair.user).device)
    for inputs, slopes in zip(pair.made_from, pair.slopes, strict=True):
        making = vectors.to(inputs).view(len(vectors), *_weight(pair.maker).shape[1:])
        values = _apply(pair.maker, inputs, making)
        channel = values.ndim + _channel(pair.maker)
        if pair.is_normed:
            others = [index for index in range(values.ndim) if index != channel]
            spread = values.std(others, correction=0, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
            values = (values - values.mean(others, keepdim=True)) / spread
        hidden = torch.cat([values, -values], channel).relu()
        using = slopes.new_zeros((shape[0], 2 * len(vectors), *shape[2:]), requires_grad=True)
        total = total + torch.autograd.grad(_apply(pair.user, hidden, using), using, slopes)[0]
    strengths = total.double().square().transpose(0, 1).flatten(1).sum(1).cpu()
    chosen = strengths.argsort(descending=True, stable=True)[: pair.count]
    return torch.cat([vectors, -vectors])[chosen]


def _apply(layer: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return what a layer would compute with another weight and no bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(inputs, weight)
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    return _APPLY[type(layer)](inputs, weight, None, layer.stride, layer.padding, layer.dilation)


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


def _channel(layer: nn.Module) -> int:
    """Return which dimension, from the end, holds a layer's channels."""
    return 1 - _weight(layer).ndim
