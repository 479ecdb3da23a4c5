"""The rows of a stack: all that one network trains, with its gradient and what its optimizer keeps, side by side.

In memory the numbers of a row follow each other; or, for a compiled step, those of all networks with the same place.

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
from neurosearch.training.moves import descend
from neurosearch.training.settings import OptimizerKind

_KEPT: dict[OptimizerKind, tuple[str, ...]] = {
    "sgd": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
_DESCENT = ("lr", "weight_decay", "momentum")
_ADAM = ("lr", "weight_decay", "beta1", "beta2", "eps")


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

    def of_members_last(self, rows: Tensor) -> Tensor:
        """Return the tensors of all networks, `(*shape, k)`, as a view of rows `(n, k)`."""
        return rows[self.start : self.start + prod(self.shape)].view(*self.shape, rows.size(1))

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
        *,
        members_last: bool = False,
    ) -> None:
        """Make the rows, all 0.

        Args:
            num_rows: k.
            pieces: The padded shape of each tensor, by name.
            kind: Kind of optimizer.
            has_momentum: Whether sgd keeps one.
            like: A tensor of their type on their device.
            members_last: Whether the networks, not the numbers of a row, follow each other in memory.
        """
        self.pieces: dict[str, Piece] = {}
        length = 0
        for name, shape in pieces.items():
            self.pieces[name] = Piece(length, shape)
            length += prod(shape) if members_last else padded(prod(shape))
        self._kind = kind
        self._kept = _KEPT[kind] if kind != "sgd" or has_momentum else ()
        shape = (length, num_rows) if members_last else (num_rows, length)
        buffers = [like.new_zeros(shape) for _ in range(2 + len(self._kept))]
        self.weights, self.gradients, *self._moments = (each.t() for each in buffers) if members_last else buffers
        self._steps = torch.zeros(num_rows, dtype=torch.float32, device=like.device)
        self._leaves: list[tuple[Tensor, Tensor]] = []  # with where their gradients go
        self._options: list[dict[str, Any]] = [{} for _ in range(num_rows)]
        self._told: dict[str, Tensor] = {}  # the options, `(k,)` each; empty when they must be read anew
        self._columns: dict[str, Tensor] = {}  # of these what descent needs, `(k, 1)` each; empty as well

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
            self._options[row], self._told, self._columns = own, {}, {}

    def state(self) -> dict[str, Tensor]:
        """Return what a compiled step changes, by name, with the networks last: weights, moments and steps."""
        moments = {f"moment{index}": moment.t() for index, moment in enumerate(self._moments)}
        return {"weights": self.weights.t(), **moments, "steps": self._steps}

    def options(self) -> dict[str, Tensor]:
        """Return what each network's optimizer is told, float64 `(k,)` by name; a row without one is left alone."""
        if not self._told:
            for name in _DESCENT if self._kind == "sgd" else _ADAM:
                values = [options.get(name, 1.0 if name == "eps" else 0.0) for options in self._options]
                self._told[name] = torch.tensor(values, dtype=torch.float64, device=self.weights.device)
        return self._told

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
        self._steps.add_(1)
        for weight, gradient, mean, square, step, options in zip(
            *(buffer.unbind() for buffer in (self.weights, self.gradients, *self._moments, self._steps)),
            self._options,
            strict=True,
        ):
            update([weight], [gradient], [mean], [square], [], [step], **options)

    def _descend(self) -> None:
        """Take a step of gradient descent in all rows at once: a few passes cost less than a call for every row."""
        if not self._columns:
            self._columns = {name: told[:, None].to(self.weights) for name, told in self.options().items()}
            if not any(options["weight_decay"] for options in self._options):
                del self._columns["weight_decay"]
        descend(self.weights, self.gradients, self._moments, self._columns)

    def _piece(self, name: str, buffer: Tensor, row: int, like: Tensor) -> Tensor:
        return self.pieces[name].of_one(buffer[row], like.shape)
