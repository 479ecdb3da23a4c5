"""The rows of a stack: all that one network trains, with its gradient and what its optimizer keeps, side by side.

Shape letters: k networks, n numbers of a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from neurosearch.training.form import padded
from neurosearch.training.settings import OptimizerKind

_KEPT: dict[OptimizerKind, tuple[str, ...]] = {
    "sgd": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
_DESCENT = ("lr", "weight_decay", "momentum")


@dataclass(frozen=True)
class Piece:
    """Where a tensor lies in each row.

    Attributes:
        start: Its first number.
        shape: Its shape, padded.
    """

    start: int
    shape: tuple[int, ...]

    def of_all(self, rows: Tensor) -> Tensor:
        """Return the tensors of all networks, `(k, *shape)`, as a view of rows `(k, n)`."""
        strides = tuple(prod(self.shape[i + 1 :]) for i in range(len(self.shape)))
        return rows.as_strided((rows.size(0), *self.shape), (rows.size(1), *strides), self.start)

    def of_one(self, row: Tensor, shape: Sequence[int]) -> Tensor:
        """Return what is not padding of one network's tensor, as a view of its row `(n,)`."""
        whole = row[self.start : self.start + prod(self.shape)].view(self.shape)
        return whole[tuple(slice(size) for size in shape)]


class Rows:
    """Weights, gradients and moments of k networks, each `(k, n)`, and the optimizer that moves them.

    Attributes:
        weights: What is trained.
        gradients: Written anew by every step.
    """

    def __init__(
        self,
        num_rows: int,
        pieces: Mapping[str, tuple[int, ...]],
        kind: OptimizerKind,
        has_momentum: bool,
        like: Tensor,
    ) -> None:
        """Take the padded shape of each tensor by name, and a tensor of their type on their device."""
        self.pieces: dict[str, Piece] = {}
        length = 0
        for name, shape in pieces.items():
            self.pieces[name] = Piece(length, shape)
            length += padded(prod(shape))
        self._kind = kind
        self._kept = _KEPT[kind] if kind != "sgd" or has_momentum else ()
        self.weights, self.gradients, *self._moments = (
            like.new_zeros(num_rows, length) for _ in range(2 + len(self._kept))
        )
        self._steps = [torch.zeros((), dtype=torch.float32, device=like.device) for _ in range(num_rows)]
        self._leaves: list[tuple[Tensor, Tensor]] = []  # with where their gradients go
        self._options: list[dict[str, Any]] = [{} for _ in range(num_rows)]
        self._columns: dict[str, Tensor] = {}  # the options, `(k, 1)` each; empty when they must be read anew

    def leaf(self, name: str) -> Tensor:
        """Return a tensor of all networks, `(k, *shape)`, whose gradient autograd finds."""
        leaf = self.pieces[name].of_all(self.weights).detach().requires_grad_()
        self._leaves.append((leaf, self.pieces[name].of_all(self.gradients)))
        return leaf

    def load(self, row: int, parameters: Mapping[str, Tensor], optimizer: Optimizer, group: int) -> None:
        """Take in a network's parameters by the names of their pieces, and what the optimizer keeps for them.

        Args:
            row: Its row.
            parameters: Its parameters.
            optimizer: Holds them.
            group: In which of its groups.
        """
        for buffer in (self.weights, self.gradients, *self._moments):
            buffer[row].zero_()
        self._steps[row].zero_()
        for name, parameter in parameters.items():
            state = optimizer.state.get(parameter, {})
            self._piece(name, self.weights, row, parameter).copy_(parameter.detach())
            for key, buffer in zip(self._kept, self._moments, strict=True):
                if state.get(key) is not None:
                    self._piece(name, buffer, row, parameter).copy_(state[key])
            if "step" in state:
                self._steps[row].copy_(state["step"])
        self.take_options(row, optimizer, group)

    def take_options(self, row: int, optimizer: Optimizer, group: int) -> None:
        """Take over the learning rate and all else that a network's optimizer is told."""
        options = optimizer.param_groups[group]
        own: dict[str, Any] = {"lr": options["lr"], "weight_decay": options["weight_decay"], "maximize": False}
        if self._kind == "sgd":
            own = {name: options[name] for name in _DESCENT}
        else:
            beta1, beta2 = options["betas"]
            own |= {"beta1": beta1, "beta2": beta2, "eps": options["eps"], "amsgrad": False}
        if own != self._options[row]:
            self._options[row], self._columns = own, {}

    def unload(self, row: int, parameters: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        """Give a network and its optimizer back what has become of them."""
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(self._piece(name, self.weights, row, parameter))
                state = optimizer.state[parameter]
                for key, buffer in zip(self._kept, self._moments, strict=True):
                    value = self._piece(name, buffer, row, parameter)
                    if state.get(key) is None:
                        state[key] = value.clone(memory_format=torch.contiguous_format)
                    else:
                        state[key].copy_(value)
                if self._kind != "sgd":
                    state["step"] = self._steps[row].clone()

    def step(self) -> None:
        """Move all weights by their gradients, each network by its own options, as the fused optimizers do."""
        for leaf, gradient in self._leaves:
            assert leaf.grad is not None
            gradient.copy_(leaf.grad)
            leaf.grad = None
        if self._kind == "sgd":
            self._descend()
            return
        update = torch._fused_adam_ if self._kind == "adam" else torch._fused_adamw_
        for weight, gradient, mean, square, step, options in zip(
            *(buffer.unbind() for buffer in (self.weights, self.gradients, *self._moments)),
            self._steps,
            self._options,
            strict=True,
        ):
            step.add_(1)
            update([weight], [gradient], [mean], [square], [], [step], **options)

    def _descend(self) -> None:
        """Take a step of gradient descent in all rows at once: a few passes cost less than a call for every row."""
        if not self._columns:
            for name in _DESCENT:
                column = torch.tensor([[options[name]] for options in self._options], dtype=torch.float64)
                self._columns[name] = column.to(self.weights)
        slope = self.gradients
        if any(options["weight_decay"] for options in self._options):
            slope = slope + self._columns["weight_decay"] * self.weights
        if self._moments:
            slope = self._moments[0].mul_(self._columns["momentum"]).add_(slope)
        self.weights.sub_(self._columns["lr"] * slope)

    def _piece(self, name: str, buffer: Tensor, row: int, like: Tensor) -> Tensor:
        return self.pieces[name].of_one(buffer[row], like.shape)
