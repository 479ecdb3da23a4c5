"""Watches units where weights use them: h and dL/dh of every unit for every example, from one pass.

A unit's outgoing weights multiply h, so h * dL/dh at their inputs, summed over all of them, is the derivative of the
loss by a gate on the unit. Linear and convolution calls are watched by the weight they are given; groups whose outgoing
weights are used in another way (recurrent layers) are scored class by class from the weights' gradients, which is the
same number.

Shape letters: b batch, c classes, u units, p positions of a dimension.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.labels import USES, Role
from neurosearch.neurons.units import FIXED, Dimension, Units

_TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
_CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d} | _TRANSPOSED
_GROUPS_ARGUMENT = 6


class _Watch(TorchFunctionMode):
    """Hands the input of every watched call to `see`, which returns the input to go on with.

    Attributes:
        elsewhere: Names of watched weights that something else made a tensor of, such as their transpose.
    """

    def __init__(self, watched: Mapping[int, str], see: Callable[[str, Tensor, int, int], Tensor]) -> None:
        super().__init__()
        self._watched = watched
        self._see = see
        self.elsewhere: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        is_convolution = func in _CONVOLUTIONS
        if (is_convolution or func is F.linear) and len(args) > 1 and id(args[1]) in self._watched:
            inputs, weight = args[:2]
            channel = inputs.ndim - (weight.ndim - 1) if is_convolution else inputs.ndim - 1
            groups = _num_groups(args, kwargs) if is_convolution and func not in _TRANSPOSED else 1
            args = (self._see(self._watched[id(weight)], inputs, channel, groups), *args[1:])
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        if any(isinstance(one, Tensor) for one in _leaves([result])):
            self.elsewhere |= {
                self._watched[id(one)] for one in _leaves((*args, *kwargs.values())) if id(one) in self._watched
            }
        return result


def _leaves(values: Iterable[object]) -> Iterator[object]:
    """Yield some values, and what lists among them hold."""
    for value in values:
        yield from value if isinstance(value, (tuple, list)) else (value,)


def _num_groups(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Return how often the weight's input channels stand side by side; a transposed one holds all of them."""
    return int(args[_GROUPS_ARGUMENT] if len(args) > _GROUPS_ARGUMENT else kwargs.get("groups", 1))


class Observer:
    """Adds up what units do over several batches.

    Args:
        model: The network, in eval mode.
        units: Its units.
    """

    def __init__(self, model: nn.Module, units: Units) -> None:
        self._model = model
        self._units = units
        self._weights = dict(model.named_parameters())
        self._outgoing = {
            part.tensor: part.dimension
            for slices in units.layout.slices
            for part in slices
            if part.role == Role.OUTGOING
        }
        self._watched = {id(self._weights[name]): name for name in self._outgoing}
        self._magnitudes: dict[int, Tensor] = {}
        self._products: dict[int, dict[int, Tensor]] = {}
        self._counts: dict[int, int] = {}

    def add_magnitudes(self, model: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
        """Add sums over a batch of |h|, averaged over the positions of a unit."""

        def see(name: str, values: Tensor, channel: int, num_groups: int) -> Tensor:
            sizes = values.abs().movedim(channel, -1)
            mean = sizes.reshape(-1, sizes.shape[-1]).mean(0, keepdim=True) * len(inputs)
            for group, part in self._by_unit(name, mean, num_groups):
                known = self._magnitudes.get(group)
                self._magnitudes[group] = part[0] if known is None else known + part[0]
            return values

        with _Watch(self._watched, see):
            model(inputs)

    def magnitudes(self, num_examples: int) -> list[Tensor]:
        """Return the mean |h| of every unit of every group, `(u,)`.

        Raises:
            SurgeryError: If a group's units were never seen.
        """
        for index, facts in enumerate(self._units.layout.groups):
            if index not in self._magnitudes:
                users = [part.tensor for part in self._units.layout.slices[index] if part.role in USES]
                raise SurgeryError(
                    f"group {facts.name}: its activations cannot be seen where they are used ({', '.join(users)}): "
                    "inside a fused operation, such as a recurrent layer's, or by a weight that is transposed. Choose "
                    "another kind of importance, such as taylor or class_balanced_taylor."
                )
        return [self._magnitudes[index] / num_examples for index in range(len(self._units.sizes))]

    def add_products(
        self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor, loss: Callable[..., Tensor]
    ) -> None:
        """Add sums over each class of h * dL/dh, where L is the loss of one example."""
        seen: list[tuple[str, Tensor, int, int]] = []

        def see(name: str, values: Tensor, channel: int, num_groups: int) -> Tensor:
            # A view of its own, so that the gradient is that of this use alone.
            values = values.view_as(values) if values.requires_grad else values.detach().requires_grad_()
            seen.append((name, values, channel, num_groups))
            return values

        with _Watch(self._watched, see) as watch:
            value = loss(model(inputs), targets)
        gradients = torch.autograd.grad(value, [values for _, values, _, _ in seen], allow_unused=True)
        # Whoever asks which classes there are waits for the device, so it is asked once for all groups.
        known, places, counts = torch.unique(targets, return_inverse=True, return_counts=True)
        labels = known.tolist()
        observed = {name for name, _, _, _ in seen} - watch.elsewhere
        missing = self._missing(observed)
        for (name, values, channel, num_groups), gradient in zip(seen, gradients, strict=True):
            if gradient is not None:
                products = _per_example(_slopes(values.detach(), gradient), channel, len(targets), name) * len(targets)
                for group, part in self._by_unit(name, products, num_groups):
                    if group not in missing:
                        self._add_by_class(group, part, labels, places)
        for label, count in zip(labels, counts.tolist(), strict=True):
            self._counts[label] = self._counts.get(label, 0) + count
            if missing:
                chosen = targets == label
                self._add_from_weights(missing, loss(model(inputs[chosen]), targets[chosen]) * count, label)

    def class_means(self) -> list[Tensor]:
        """Return for every group the mean of h * dL/dh over each class that was seen, `(c, u)`."""
        means = []
        for index, size in enumerate(self._units.sizes):
            by_class = self._products.get(index, {})
            nothing = next(iter(by_class.values()), torch.zeros(size)).new_zeros(size)
            rows = [by_class.get(label, nothing) / count for label, count in sorted(self._counts.items())]
            means.append(torch.stack(rows).cpu().double())
        return means

    def _missing(self, observed: set[str]) -> set[int]:
        """Return the groups some of whose outgoing weights were used in a way that cannot be watched."""
        return {
            index
            for index, slices in enumerate(self._units.layout.slices)
            if any(part.role in USES and part.tensor not in observed for part in slices)
        }

    def _add_by_class(self, group: int, products: Tensor, labels: Sequence[int], places: Tensor) -> None:
        sums = products.new_zeros(len(labels), products.shape[1]).index_add_(0, places, products)
        for label, row in zip(labels, sums, strict=True):
            self._add(group, label, row)

    def _add(self, group: int, label: int, row: Tensor) -> None:
        by_class = self._products.setdefault(group, {})
        by_class[label] = by_class[label] + row if label in by_class else row

    def _add_from_weights(self, groups: set[int], value: Tensor, label: int) -> None:
        """Add weight * gradient of the outgoing weights: the derivative by a gate, for one class."""
        parts = [
            (group, part)
            for group in groups
            for part in self._units.layout.slices[group]
            if part.role in USES and self._weights[part.tensor].requires_grad
        ]
        if not parts:
            return
        names = list(dict.fromkeys(part.tensor for _, part in parts))
        gradients = torch.autograd.grad(value, [self._weights[name] for name in names], allow_unused=True)
        found = dict(zip(names, gradients, strict=True))
        for group, part in parts:
            gradient = found[part.tensor]
            if gradient is not None:
                product = _slopes(self._weights[part.tensor].detach(), gradient).movedim(part.dimension, -1)
                row = product.reshape(-1, product.shape[-1]).sum(0, keepdim=True)
                blocks = self._units.layout.tensors[part.tensor][part.dimension]
                for index, values in sum_by_unit(self._units, blocks, row):
                    if index == group:
                        self._add(group, label, values[0])

    def _by_unit(self, name: str, values: Tensor, num_groups: int) -> list[tuple[int, Tensor]]:
        """Sum `(b, p)` values over the positions of each unit, `(b, u)`."""
        blocks = self._units.layout.tensors[name][self._outgoing[name]] * num_groups
        return [(group, part) for group, part in sum_by_unit(self._units, blocks, values)]


def sum_by_unit(units: Units, blocks: Dimension, values: Tensor) -> Iterable[tuple[int, Tensor]]:
    """Yield, for each block of a group, the sums of the last dimension over each unit's positions, `(..., u)`."""
    offset = 0
    for group, repeat in blocks:
        length = repeat if group == FIXED else repeat * units.sizes[group]
        if group != FIXED:
            part = values if length == values.shape[-1] else values.narrow(-1, offset, length)
            yield group, part if repeat == 1 else part.reshape(*part.shape[:-1], -1, repeat).sum(-1)
        offset += length


def _slopes(values: Tensor, gradient: Tensor) -> Tensor:
    """Return the derivative by a factor on each value: its product with its gradient, of complex numbers the real part.

    PyTorch's gradient of a complex number z holds dL/d(Re z) + i dL/d(Im z).
    """
    return (values * gradient.conj()).real


def _per_example(products: Tensor, channel: int, num_examples: int, name: str) -> Tensor:
    """Sum over everything but examples and positions, `(b, p)`; windows of one example lie side by side."""
    products = products.movedim(channel, -1)
    if products.shape[0] % num_examples:
        raise SurgeryError(
            f"The input of {name} has {products.shape[0]} rows for {num_examples} examples, so it cannot be told which "
            "belongs to which. Let the batch be the first dimension, or choose taylor."
        )
    return products.reshape(num_examples, -1, products.shape[-1]).sum(1)
