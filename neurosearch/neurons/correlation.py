"""How new units' incoming and outgoing weights give each other their gradients.

A new unit changes the loss by a form that is bilinear in its two sides, if all between them has slope 1. Its matrix,
the correlations of what units are made from with the loss's slopes behind their users, is only ever multiplied.

Shape letters: o outputs of the users, k places of their kernel, i inputs of the makers, l places of theirs, u units.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONVOLVE: dict[type[nn.Module], Any] = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}
LAYERS = frozenset({nn.Linear, *_CONVOLVE})  # what a pair can consist of


@dataclass
class Pair:
    """The two layers around a group, and what flowed through them, batch by batch.

    Attributes:
        group: Name of the group.
        count: Number of new units.
        maker: The layer that makes the units.
        user: The layer that uses them.
        zero: The side that starts at 0, "incoming" or "outgoing".
        is_dead: Whether the activation has no slope at 0.
        is_normed: Whether there is a normalisation between the layers.
        made_from: Inputs of the maker.
        made: Outputs of the maker.
        used: Inputs of the user.
        results: Outputs of the user that still have a graph.
        slopes: Gradients of the loss by the user's outputs.
    """

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

    @property
    def incoming_length(self) -> int:
        """How many weights make a unit."""
        return _weight(self.maker)[0].numel()

    @property
    def outgoing_length(self) -> int:
        """How many weights use a unit."""
        return _weight(self.user)[:, 0].numel()

    @torch.no_grad()
    def incoming_slopes(self, outgoing: Tensor) -> Tensor:
        """Return the gradient of incoming weights at 0, `(u, i * l)`, from outgoing ones, `(u, o * k)`."""
        shape = _weight(self.user).shape
        using = outgoing.view(len(outgoing), shape[0], *shape[2:]).transpose(0, 1).to(_weight(self.user)).contiguous()
        total = torch.zeros((), device=using.device, dtype=using.dtype)
        for inputs, used, slopes in zip(self.made_from, self.used, self.slopes, strict=True):
            back = _input_slopes(self.user, used, using, slopes)
            total = total + _weight_slopes(self.maker, inputs, back)
        return total.flatten(1).to("cpu", torch.float64)

    @torch.no_grad()
    def outgoing_slopes(self, incoming: Tensor, *, is_rectified: bool = False) -> Tensor:
        """Return the gradient of outgoing weights at 0, `(u, o * k)`, from incoming ones, `(u, i * l)`.

        Args:
            incoming: The weights.
            is_rectified: Whether a relu, after the normalisation if there is one, is between the layers.
        """
        making = incoming.view(len(incoming), *_weight(self.maker).shape[1:]).to(_weight(self.maker))
        total = torch.zeros((), device=making.device, dtype=making.dtype)
        for inputs, slopes in zip(self.made_from, self.slopes, strict=True):
            values = _apply(self.maker, inputs, making)
            if is_rectified:
                values = (_normalised(values, _channel(self.maker)) if self.is_normed else values).relu()
            total = total + _weight_slopes(self.user, values, slopes)
        return total.transpose(0, 1).flatten(1).to("cpu", torch.float64)


def padding(layer: nn.Module) -> tuple[int, ...] | None:
    """Return a layer's padding on either side of each dimension, None if the two sides differ."""
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return ()
    if isinstance(layer.padding, tuple):
        return layer.padding
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    totals = [step * (size - 1) for step, size in zip(layer.dilation, layer.kernel_size, strict=True)]
    return None if any(total % 2 for total in totals) else tuple(total // 2 for total in totals)


def _apply(layer: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return what a layer would compute with another weight and no bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(inputs, weight)
    result: Tensor = _CONVOLVE[type(layer)](inputs, weight, None, layer.stride, padding(layer), layer.dilation)
    return result


def _input_slopes(layer: nn.Module, like: Tensor, weight: Tensor, slopes: Tensor) -> Tensor:
    """Return the gradient by a layer's inputs if it had another weight; inputs have the shape of `like` otherwise."""
    if isinstance(layer, nn.Linear):
        return slopes @ weight
    sizes = list(like.shape)
    sizes[_channel(layer)] = weight.shape[1]
    return _convolution_backward(layer, slopes, weight.new_empty(1).expand(sizes), weight, wants_input=True)


def _weight_slopes(layer: nn.Module, inputs: Tensor, slopes: Tensor) -> Tensor:
    """Return the gradient by a layer's weight if it had other inputs."""
    if isinstance(layer, nn.Linear):
        return slopes.flatten(0, -2).T @ inputs.flatten(0, -2)
    channel = _channel(layer)
    weight = inputs.new_empty(1).expand(slopes.shape[channel], inputs.shape[channel], *_weight(layer).shape[2:])
    return _convolution_backward(layer, slopes, inputs, weight, wants_input=False)


def _convolution_backward(
    layer: nn.Module, slopes: Tensor, inputs: Tensor, weight: Tensor, *, wants_input: bool
) -> Tensor:
    sides = padding(layer)
    assert sides is not None
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        slopes,
        inputs,
        weight,
        None,
        layer.stride,
        sides,
        layer.dilation,
        False,
        [0] * len(sides),
        1,
        [wants_input, not wants_input, False],
    )
    return found[0 if wants_input else 1]


def _normalised(values: Tensor, channel: int) -> Tensor:
    """Return values with mean 0 and spread 1 in each channel."""
    others = [index for index in range(values.ndim) if index != values.ndim + channel]
    spread = values.std(others, correction=0, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    return (values - values.mean(others, keepdim=True)) / spread


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


def _channel(layer: nn.Module) -> int:
    """Return which dimension, counted from the end, holds a layer's channels."""
    return 1 - _weight(layer).ndim
