"""How new units' incoming and outgoing weights give each other their gradients.

A new unit changes the loss by a form that is bilinear in its two sides, if all between them is linear. Its matrix, the
correlations of what units are made from with the loss's slopes behind their users, is only ever multiplied; between two
linear layers alone it is small enough to be made.

Shape letters: b batch, o outputs of the users, k places of their kernel (or of a flattened image), i inputs of the
makers, l places of their kernel, u units.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurosearch.neurons.between import Path
from neurosearch.neurons.singular import Product

_CONVOLVE: dict[type[nn.Module], Any] = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}
LAYERS = frozenset({nn.Linear, *_CONVOLVE})  # what a pair can consist of


@dataclass(frozen=True)
class Layer:
    """A plain linear or convolution layer that could have other weights."""

    kind: type[nn.Module]
    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def is_linear(self) -> bool:
        """Whether it is no convolution."""
        return self.kind is nn.Linear

    def apply(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Return what the layer would compute with another weight and no bias."""
        if self.is_linear:
            return F.linear(inputs, weight)
        result: Tensor = _CONVOLVE[self.kind](inputs, weight, None, self.stride, self.padding, self.dilation)
        return result

    def input_slopes(self, shape: torch.Size, weight: Tensor, slopes: Tensor) -> Tensor:
        """Return the gradient by the layer's inputs if it had another weight; `shape` is that of its own inputs."""
        if self.is_linear:
            return slopes @ weight
        sizes = (shape[0], weight.shape[1], *shape[2:])
        return self._convolution_backward(slopes, weight.new_empty(1).expand(sizes), weight, wants_input=True)

    def weight_slopes(self, inputs: Tensor, slopes: Tensor) -> Tensor:
        """Return the gradient by the layer's weight if it had other inputs."""
        if self.is_linear:
            return slopes.flatten(0, -2).T @ inputs.flatten(0, -2)
        weight = inputs.new_empty(1).expand(slopes.shape[1], inputs.shape[1], *self.weight.shape[2:])
        return self._convolution_backward(slopes, inputs, weight, wants_input=False)

    def _convolution_backward(self, slopes: Tensor, inputs: Tensor, weight: Tensor, *, wants_input: bool) -> Tensor:
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            slopes,
            inputs,
            weight,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            [0] * len(self.padding),
            1,
            [wants_input, not wants_input, False],
        )
        return found[0 if wants_input else 1]


@dataclass(frozen=True)
class Seen:
    """What a batch showed of a pair.

    Attributes:
        made_from: Inputs of the maker.
        made: Shape of the maker's outputs.
        used: Shape of the user's inputs.
        slopes: Gradient of the loss by the user's outputs.
    """

    made_from: Tensor
    made: torch.Size
    used: torch.Size
    slopes: Tensor


@dataclass
class Pair:
    """The two layers around a group, and what flowed through them.

    Attributes:
        maker: The layer that makes the units.
        user: The layer that uses them.
        num_places: Positions that a unit has in the user's inputs: more than 1 where an image is flattened.
        path: What is between the layers.
        seen: What flowed through them, batch by batch.
    """

    maker: Layer
    user: Layer
    num_places: int
    path: Path
    seen: list[Seen] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """How many weights use a unit, and how many make it."""
        using = self.user.weight
        return using.numel() // using.shape[1] * self.num_places, self.maker.weight[0].numel()

    @property
    def rank(self) -> int:
        """An upper bound of the matrix's rank."""
        if not self._is_small:
            return min(self.shape)
        return min(*self.shape, sum(one.slopes.numel() // one.slopes.shape[-1] for one in self.seen))

    def products(self) -> tuple[Product, Product]:
        """Return what multiplies the matrix with outgoing weights, and its transpose with incoming ones.

        Between two linear layers it costs as much as one of their gradients, so it is made.
        """
        if not self._is_small:
            return self.incoming_slopes, self.outgoing_slopes
        with torch.no_grad():
            matrix = _exact(sum(self.user.weight_slopes(one.made_from, one.slopes) for one in self.seen))  # (o, i)
        return (lambda outgoing: outgoing @ matrix), (lambda incoming: incoming @ matrix.T)

    @property
    def _is_small(self) -> bool:
        return self.maker.is_linear and self.user.is_linear and self.path.is_plain

    @torch.no_grad()
    def incoming_slopes(self, outgoing: Tensor) -> Tensor:
        """Return the gradient of incoming weights at 0, `(u, i * l)`, from outgoing ones, `(u, o * k)`."""
        using = self._using(outgoing.to(self.user.weight))
        total: Tensor | int = 0
        for one in self.seen:
            back = self.user.input_slopes(one.used, using, one.slopes)
            made = _with_units(one.made, self.maker, len(outgoing))
            total = total + self.maker.weight_slopes(one.made_from, self.path.linear_slopes(made, back))
        return _exact(total).flatten(1)

    @torch.no_grad()
    def outgoing_slopes(self, incoming: Tensor, *, is_real: bool = False) -> Tensor:
        """Return the gradient of outgoing weights at 0, `(u, o * k)`, from incoming ones, `(u, i * l)`.

        Args:
            incoming: The weights.
            is_real: Whether they go through what is between the layers, and not through its linear stand-in.
        """
        making = incoming.to(self.maker.weight).view(-1, *self.maker.weight.shape[1:])
        between = self.path.real if is_real else self.path.linear
        total: Tensor | int = 0
        for one in self.seen:
            values = between(self.maker.apply(one.made_from, making))
            total = total + self.user.weight_slopes(values, one.slopes)
        slopes = _exact(total)  # (o, u * k) or (o, u, *k)
        by_unit = slopes.view(len(slopes), len(incoming), self.num_places, -1)
        return by_unit.transpose(0, 1).flatten(1)

    @torch.no_grad()
    def explained(self, incoming: Tensor, *, is_real: bool) -> float:
        """Return how well new units would follow the loss's slope, in [0, 1]: the mean of their squared correlations.

        A unit's outgoing weights get the gradient g = sum of slope times what the unit makes. By Cauchy-Schwarz, |g|^2
        is at most the sum of the squared slopes times that of what the unit makes, once for each place of the kernel;
        the quotient is 1 where the unit makes exactly what is missing, and about 1 / examples where the slope is noise.

        Args:
            incoming: Weights that make the units, `(u, i * l)`.
            is_real: As for `outgoing_slopes`.
        """
        making = incoming.to(self.maker.weight).view(-1, *self.maker.weight.shape[1:])
        between = self.path.real if is_real else self.path.linear
        made = torch.zeros(len(incoming), dtype=torch.float64)
        slopes = 0.0
        for one in self.seen:
            values = between(self.maker.apply(one.made_from, making))  # (b, u, ...), of a linear maker (b, ..., u)
            shape = (-1, len(incoming), 1) if self.maker.is_linear else (len(values), len(incoming), -1)
            made += _exact(values.double().square().reshape(shape).sum((0, 2)))
            slopes += float(one.slopes.double().square().sum())
        gradients = self.outgoing_slopes(incoming, is_real=is_real).square().sum(1)
        bound = made * slopes * self.user.weight[0, 0].numel()
        return float((gradients / bound.clamp(min=torch.finfo(torch.float64).tiny)).mean())

    def _using(self, outgoing: Tensor) -> Tensor:
        """Return outgoing weights `(u, o * k)` as a weight of the user."""
        shape = self.user.weight.shape
        by_unit = outgoing.view(len(outgoing), shape[0], self.num_places, *shape[2:])
        return by_unit.transpose(0, 1).flatten(1, 2).contiguous()


def layer_of(module: nn.Module) -> Layer | str:
    """Return a module as a layer, or why it cannot be taken for one."""
    if type(module) not in LAYERS:
        return "is no plain linear or convolution layer"
    weight = module.get_parameter("weight")
    if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return Layer(type(module), weight, (), (), ())
    if module.groups != 1 or module.padding_mode != "zeros":
        return "has groups, or a padding that is not zeros"
    sides = _padding(module)
    if sides is None:
        return "has an even kernel with padding 'same'"
    return Layer(type(module), weight, module.stride, sides, module.dilation)


def _padding(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> tuple[int, ...] | None:
    """Return a layer's padding on either side of each dimension, None if the two sides differ."""
    if isinstance(layer.padding, tuple):
        return layer.padding
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    totals = [step * (size - 1) for step, size in zip(layer.dilation, layer.kernel_size, strict=True)]
    return None if any(total % 2 for total in totals) else tuple(total // 2 for total in totals)


def _with_units(shape: torch.Size, layer: Layer, num_units: int) -> torch.Size:
    """Return the shape of a layer's outputs if it made another number of units."""
    sizes = list(shape)
    sizes[-1 if layer.is_linear else 1] = num_units
    return torch.Size(sizes)


def _exact(total: Tensor | int) -> Tensor:
    assert isinstance(total, Tensor), "a pair has seen a batch"
    return total.to("cpu", torch.float64)
