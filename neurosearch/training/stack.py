"""A stack: networks of one form whose steps are taken together, by one call for all of them.

A step of small perceptrons may be a compiled one; all others are taken operation by operation.

No network has a part in what another one computes: products, sums and updates are each network's own, and round alike
whoever else is in the stack.

Shape letters: k networks, b batch, f features of a layer, w size weights, c outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from neurosearch.growth.nimble import NimblePolicy
from neurosearch.training.chain import Link, chain_of
from neurosearch.training.compiled_step import CompiledSteps, members_last, num_seats
from neurosearch.training.form import Form, LinkForm
from neurosearch.training.rows import Rows
from neurosearch.training.stacked_gates import StackedSizes, empty_tables
from neurosearch.training.stacked_layers import StackedLayer
from neurosearch.training.trainer import Trainer
from neurosearch.training.under_way import EpochUnderWay

Losses = tuple[Tensor, Tensor | None]  # task losses and size losses of a stack, `(k,)`; None where no sizes are trained

_SIZES = "sizes"  # name of the one piece that size weights are


@dataclass
class Occupant:
    """A training in a row of a stack.

    Attributes:
        trainer: The training.
        under_way: Its epoch.
        dropout: What its dropout is drawn from.
        chain: Its layers, as they are now.
        parameters: What its network's group of the optimizer holds, by piece.
        sizes: Its size weights, if it has any.
        left_at: Updates that it had done when its own network was brought up to date; None while it is not.
    """

    trainer: Trainer
    under_way: EpochUnderWay
    dropout: torch.Generator
    chain: tuple[Link, ...] = ()
    parameters: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[str, Tensor] = field(default_factory=dict)
    left_at: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether what the stack has of it is what it is: it was not trained elsewhere since."""
        return self.left_at in {None, self.trainer.num_steps}


class Outputs(NamedTuple):
    """What a forward pass of a stack gives.

    Attributes:
        outputs: `(k, b, c)`.
        targets: `(k, b, ...)`.
        size_losses: `(k,)`; None where no sizes are trained.
    """

    outputs: Tensor
    targets: Tensor
    size_losses: Tensor | None


class Stack:
    """Networks of one form, each in a row.

    Attributes:
        occupants: Who is in which row.
        form: What they have in common.
    """

    def __init__(self, form: Form, occupants: Sequence[Occupant], steps: CompiledSteps) -> None:
        """Make the rows and take everybody in; compiled steps come from and go into `steps`."""
        self.occupants = list(occupants)
        self.form = form
        self._steps = steps
        self._at_rest: Tensor | None = None  # after the last compiled step, where sizes are trained
        is_last, num_rows = form.is_compiled, num_seats(len(occupants)) if form.is_compiled else len(occupants)
        like = torch.empty(0, dtype=form.dtype, device=form.device)
        shapes = {name: shape for index, link in enumerate(form.links) for name, shape in _pieces(index, link)}
        optimizer = form.optimizer, form.has_momentum, like
        self._rows = Rows(num_rows, shapes, *optimizer, members_last=is_last)
        self._layers: list[StackedLayer] = []
        if not form.is_compiled:
            self._layers = [StackedLayer(index, link, self._rows, num_rows) for index, link in enumerate(form.links)]
        self._size_rows: Rows | None = None
        self._sizes: StackedSizes | None = None
        if form.num_size_weights:
            self._size_rows = Rows(num_rows, {_SIZES: (form.num_size_weights,)}, *optimizer, members_last=is_last)
            weights = self._size_rows.weights if form.is_compiled else self._size_rows.leaf(_SIZES)
            self._sizes = StackedSizes(weights, form.links, empty_tables(weights, form.links, members_last=is_last))
        for row in range(len(self.occupants)):
            self.load(row)

    def load(self, row: int) -> None:
        """Take in a network as it is now; it has the stack's form."""
        occupant = self.occupants[row]
        trainer, policy = occupant.trainer, occupant.trainer.policy
        occupant.chain, occupant.left_at = chain_of(trainer.model), None
        occupant.parameters = {
            name: parameter for index, link in enumerate(occupant.chain) for name, parameter in _parameters(index, link)
        }
        gating = None
        if self._size_rows is not None and self._sizes is not None:
            assert isinstance(policy, NimblePolicy)
            gating = policy.gating(trainer.units)
            occupant.sizes = {_SIZES: gating.weights}
            for index, link in enumerate(occupant.chain):
                if link.name in gating.columns:
                    occupant.parameters[f"{index}.column"] = gating.columns[link.name]
            self._size_rows.load(row, occupant.sizes, trainer.optimizer, group=1)
            self._sizes.load(row, gating, [(link.name, link.linear.out_features) for link in occupant.chain])
        self._rows.load(row, occupant.parameters, trainer.optimizer, group=0)
        for layer, link in zip(self._layers, occupant.chain, strict=False):
            layer.load(row, link)

    def holds(self, form: Form, trainers: Sequence[Trainer]) -> bool:
        """Say whether these trainings and no others are here, in this order."""
        here = [each.trainer for each in self.occupants if each.is_here]
        return form == self.form and here == list(trainers) and len(here) == len(self.occupants)

    def occupy(self, row: int, occupant: Occupant) -> None:
        """Let the training that is in a row begin its next epoch."""
        before = self.occupants[row]
        occupant.chain, occupant.parameters, occupant.sizes = before.chain, before.parameters, before.sizes
        self.occupants[row] = occupant
        self._rows.take_options(row, occupant.trainer.optimizer, group=0)
        if self._size_rows is not None:
            self._size_rows.take_options(row, occupant.trainer.optimizer, group=1)

    def unload(self, row: int) -> None:
        """Give a network, its optimizer and its policy back what has become of them."""
        occupant = self.occupants[row]
        occupant.left_at = occupant.trainer.num_steps
        self._rows.unload(row, occupant.parameters, occupant.trainer.optimizer)
        self.unload_sizes(row)
        for layer, link in zip(self._layers, occupant.chain, strict=False):
            layer.unload(row, link)

    def unload_sizes(self, row: int) -> None:
        """Give a policy its size weights back."""
        occupant = self.occupants[row]
        if self._size_rows is not None:
            self._size_rows.unload(row, occupant.sizes, occupant.trainer.optimizer)

    def load_sizes(self, row: int) -> None:
        """Take in size weights that the policy may have changed; nothing else has changed."""
        occupant = self.occupants[row]
        if self._size_rows is not None:
            self._size_rows.load(row, occupant.sizes, occupant.trainer.optimizer, group=1)

    def are_at_rest(self, losses: Losses) -> Tensor | None:
        """Return whether nothing is to be done for a network, `(k,)`; None if only its policy can tell.

        That is, its policy would change no size, and what its last step has lost are numbers.
        """
        if self._sizes is None or self.form.is_compiled:
            return self._at_rest
        are_numbers = [torch.isfinite(each) for each in losses if each is not None]
        return torch.stack([self._sizes.are_at_rest(), *are_numbers]).all(0)

    def step(self) -> tuple[Losses, int]:
        """Take a compiled step; return what it has lost, and how many examples a batch has."""
        num_rows = self._rows.weights.size(0)
        batches = zip(*[next(occupant.under_way.batches) for occupant in self.occupants], strict=True)
        inputs, targets = (members_last(each, num_rows) for each in batches)
        sizes = None if self._size_rows is None or self._sizes is None else (self._size_rows, self._sizes.tables)
        task_loss = self.occupants[0].under_way.task.loss
        found = self._steps.take(self.form, task_loss, self._rows, sizes, inputs.flatten(1, -2), targets)
        task, size, self._at_rest = (None if each is None else each[: len(self.occupants)] for each in found)
        assert task is not None
        return (task, size), targets.size(0)

    def forward(self) -> Outputs:
        """Put the next batch of each network through it; all batches are as large."""
        batches = [next(occupant.under_way.batches) for occupant in self.occupants]
        hidden = torch.stack([inputs for inputs, _ in batches]).flatten(2)  # (k, b, f)
        targets = torch.stack([targets for _, targets in batches])
        hidden = F.pad(hidden, (0, self.form.links[0].num_inputs - hidden.size(2)))
        sizes = [None] * len(self._layers) if self._sizes is None else self._sizes.sizes()
        generators = [occupant.dropout for occupant in self.occupants]
        for index, (layer, size) in enumerate(zip(self._layers, sizes, strict=True)):
            gate = shift = None
            if self._sizes is not None and size is not None:
                gate, shift = self._sizes.gate(index, size), self._sizes.shift(index, size, layer.column)
            hidden = layer.forward(hidden, gate, shift, generators)
        size_losses = None if self._sizes is None else self._sizes.loss()
        return Outputs(hidden[..., : self.form.num_outputs].contiguous(), targets, size_losses)

    def update(self) -> None:
        """Move all weights by their gradients."""
        self._rows.step()
        if self._size_rows is not None:
            self._size_rows.step()


def _pieces(index: int, link: LinkForm) -> list[tuple[str, tuple[int, ...]]]:
    """Return the tensors of a layer that are trained, by name, with their padded shapes."""
    own = (link.num_outputs,)
    pieces: list[tuple[str, tuple[int, ...]]] = [
        (f"{index}.weight", (link.num_outputs, link.num_inputs)),
        (f"{index}.bias", own),
    ]
    if link.has_norm:
        pieces += [(f"{index}.norm_weight", own), (f"{index}.norm_bias", own)]
    if link.num_column:
        pieces.append((f"{index}.column", (link.num_column,)))
    return pieces


def _parameters(index: int, link: Link) -> list[tuple[str, Tensor]]:
    """Return the parameters of a layer by the names of their pieces."""
    parameters = [(f"{index}.weight", link.linear.weight), (f"{index}.bias", link.linear.bias)]
    if link.norm is not None:
        parameters += [(f"{index}.norm_weight", link.norm.weight), (f"{index}.norm_bias", link.norm.bias)]
    return parameters
