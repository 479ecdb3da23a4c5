"""Pulls the most alike neurons of each group apart while a network trains (arXiv:2308.04870).

What is minimised and how that differs from the paper: `neurons.tree_correlation`. Activations are seen where a plain
linear or convolution layer uses them, after batch norm and nonlinearity. A channel is one neuron whose samples are all
places of all examples; the paper takes each place of a channel for a neuron of its own. Groups without such a user,
those of one neuron, and uses by layers with groups of channels have no say. Gates do not count: a neuron is seen before
its gate. Processes that train together each look at their own part of a batch.

Shape letters: b batch, s samples, u units, r places that flattening puts beside each other.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurosearch import names
from neurosearch.neurons import Units, tree_correlation
from neurosearch.neurons.labels import Role
from neurosearch.neurons.units import FIXED, Dimension
from neurosearch.training.counts import PASSES_PER_STEP
from neurosearch.training.records import TrialFailed

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
Forward = Callable[[Tensor], Tensor]


class _User(NamedTuple):
    """A layer that uses units.

    Attributes:
        module: The layer.
        dimension: Of its input, which holds the units.
        blocks: Of this dimension.
    """

    module: nn.Module
    dimension: int
    blocks: Dimension


class Decorrelation:
    """Watches a network in the forward passes of its training and makes the loss term of what it saw.

    Each use of a group costs about what a layer of its own width would, kernel 1, which is charged, and for u units
    log2(u) passes over their u^2 pairs, which are not: wide layers make a step several times as long on a CPU. Nothing
    waits for the device.

    Example:
        >>> decorrelation = Decorrelation(0.1, model, units)
        >>> outputs = decorrelation.watching(model, units)(inputs)
        >>> loss = task_loss(outputs, targets) + decorrelation.loss()
    """

    def __init__(self, coefficient: float, model: nn.Module, units: Units) -> None:
        """Find the layers that use units.

        Args:
            coefficient: What the mean correlation is multiplied by in the loss.
            model: The network; its modules stay the same objects.
            units: Its units, at any size.

        Raises:
            TrialFailed: There is none.
        """
        self._coefficient = coefficient
        self._users = _users(model, units)
        if not self._users:
            raise TrialFailed(
                "training.decorrelation: it needs neurons that a plain linear or convolution layer uses, and this "
                "network has none. Set decorrelation to 0, or choose a model with a hidden layer."
            )
        self._seen: dict[int, list[Tensor]] = defaultdict(list)
        self._means: list[Tensor] = []
        self._multiply_adds = 0

    def watching(self, forward: Forward, units: Units) -> Forward:
        """Return a forward pass that the next `loss` is made of; no hook outlives a call of it.

        Args:
            forward: Runs the network, with its own weights or others.
            units: Its units as they are; the result is valid until they change.
        """

        def run(inputs: Tensor) -> Tensor:
            self._seen.clear()
            hooks = [
                user.module.register_forward_pre_hook(self._look(user, units.sizes), with_kwargs=True)
                for user in self._users
            ]
            try:
                return forward(inputs)
            finally:
                for hook in hooks:
                    hook.remove()

        return run

    def loss(self) -> Tensor:
        """Return the coefficient times the mean over groups of `tree_correlation`, itself a mean over a group's uses.

        A scalar, 0 where every group is down to one neuron.
        """
        groups = [torch.stack(uses).mean() for uses in self._seen.values()]
        self._seen.clear()
        mean = torch.stack(groups).mean() if groups else torch.zeros(())
        self._means.append(mean.detach())
        return self._coefficient * mean

    def take_metrics(self) -> dict[str, float]:
        """Return the mean over all losses since the last time, without the coefficient; waits for the device."""
        means, self._means = self._means, []
        return {names.TREE_CORRELATION: float(sum(means, torch.zeros(())) / len(means))}

    def take_multiply_adds(self) -> int:
        """Return what correlations have cost since the last time, forward and backward."""
        spent, self._multiply_adds = self._multiply_adds, 0
        return PASSES_PER_STEP * spent

    def _look(self, user: _User, sizes: tuple[int, ...]) -> Callable[..., None]:
        """Return a hook that sees what a layer is given."""

        def look(_module: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Any]) -> None:
            values = (args[0] if args else kwargs["input"]).movedim(user.dimension, -1)
            values = values.reshape(-1, values.shape[-1])  # (s, positions)
            offset = 0
            for group, repeat in user.blocks:
                size = 1 if group == FIXED else sizes[group]
                if size > 1:
                    places = values.narrow(1, offset, size * repeat).reshape(-1, size, repeat)  # (s, u, r)
                    self._see(group, places.transpose(1, 2).reshape(-1, size))
                offset += size * repeat

        return look

    def _see(self, group: int, activations: Tensor) -> None:
        self._multiply_adds += activations.numel() * activations.shape[1]
        self._seen[group].append(tree_correlation(activations))


def _users(model: nn.Module, units: Units) -> list[_User]:
    """Return the layers whose inputs are units."""
    found = []
    for name, module in model.named_modules():
        weight = f"{name}.weight" if name else "weight"
        is_plain = type(module) in _LAYERS and getattr(module, "groups", 1) == 1
        if is_plain and units.layout.roles.get((weight, 1)) == Role.OUTGOING:
            dimension = -1 if isinstance(module, nn.Linear) else 1 - module.get_parameter("weight").ndim
            found.append(_User(module, dimension, units.layout.tensors[weight][1]))
    return found
