"""A stack of networks of any kind but one shape: their own forward pass, called for all by `torch.func.vmap`.

Convolutions become grouped convolutions, which GPUs are good at and CPUs are not.

Shape letters: k networks, b batch.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from neurosearch.training.form import Form
from neurosearch.training.rows import Rows
from neurosearch.training.stack import Losses, Occupant, Outputs
from neurosearch.training.trainer import Trainer


class CalledStack:
    """Networks of one shape, each in a row.

    Attributes:
        occupants: Who is in which row.
        form: What they have in common.
    """

    def __init__(self, form: Form, occupants: Sequence[Occupant]) -> None:
        """Make the rows and take everybody in."""
        self.occupants = list(occupants)
        self.form = form
        num_rows = len(self.occupants)
        self._model = copy.deepcopy(self.occupants[0].trainer.model).train()  # for its forward pass alone
        like = torch.empty(0, dtype=form.dtype, device=form.device)
        self._rows = Rows(num_rows, dict(form.shapes), form.optimizer, form.has_momentum, like)
        self._weights = {name: self._rows.leaf(name) for name, _ in form.shapes}
        self._buffers = {name: torch.stack([buffer] * num_rows) for name, buffer in self._model.named_buffers()}
        for row in range(num_rows):
            self.load(row)

    def load(self, row: int) -> None:
        """Take in a network as it is now; it has the stack's form."""
        occupant = self.occupants[row]
        occupant.left_at = None
        occupant.parameters = dict(occupant.trainer.model.named_parameters())
        self._rows.load(row, occupant.parameters, occupant.trainer.optimizer, group=0)
        for name, buffer in occupant.trainer.model.named_buffers():
            self._buffers[name][row].copy_(buffer)

    def holds(self, form: Form, trainers: Sequence[Trainer]) -> bool:
        """Say whether these trainings and no others are here, in this order."""
        here = [each.trainer for each in self.occupants if each.is_here]
        return form == self.form and here == list(trainers) and len(here) == len(self.occupants)

    def occupy(self, row: int, occupant: Occupant) -> None:
        """Let the training that is in a row begin its next epoch."""
        occupant.parameters = self.occupants[row].parameters
        self.occupants[row] = occupant
        self._rows.take_options(row, occupant.trainer.optimizer, group=0)

    def unload(self, row: int) -> None:
        """Give a network and its optimizer back what has become of them."""
        occupant = self.occupants[row]
        occupant.left_at = occupant.trainer.num_steps
        self._rows.unload(row, occupant.parameters, occupant.trainer.optimizer)
        for name, buffer in occupant.trainer.model.named_buffers():
            buffer.copy_(self._buffers[name][row])

    def unload_sizes(self, row: int) -> None:
        """Do nothing: no sizes are trained here."""

    def load_sizes(self, row: int) -> None:
        """Do nothing."""

    def are_at_rest(self, losses: Losses) -> Tensor | None:  # noqa: ARG002  as the other stacks'
        """Return nothing: only the policies can tell."""
        return None

    def forward(self) -> Outputs:
        """Put the next batch of each network through it; all batches are as large."""
        batches = [next(occupant.under_way.batches) for occupant in self.occupants]
        inputs = torch.stack([inputs for inputs, _ in batches])  # (k, b, ...)
        targets = torch.stack([targets for _, targets in batches])

        def called(weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self._model, ({**weights}, {**buffers}), (inputs,))
            return outputs

        return Outputs(vmap(called)(self._weights, self._buffers, inputs), targets, None)

    def update(self) -> None:
        """Move all weights by their gradients."""
        self._rows.step()
