"""One step of a plan on its way: every action is noted in a journal before it is done."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from neurosearch.neurons.anatomy import Anatomy
from neurosearch.neurons.attributes import refresh
from neurosearch.neurons.certificate import check_optimizer, check_state, check_tensors, refuse_live_graph
from neurosearch.neurons.compaction import Compaction, fits_compaction
from neurosearch.neurons.journal import Journal
from neurosearch.neurons.plan import Change
from neurosearch.neurons.reindex import Reindexing, fits, reindexed
from neurosearch.neurons.starts import fill
from neurosearch.neurons.units import Units


@dataclass(frozen=True)
class Operation:
    """Changes a network from some units to others.

    Attributes:
        before: The units it has.
        after: The units it is to have.
        reindexing: What becomes of every dimension.
        growing: The groups that gain units.
        journal: Where each action is noted.
    """

    before: Units
    after: Units
    reindexing: Reindexing
    growing: Sequence[Change]
    journal: Journal

    def change_model(self, model: Anatomy, optimizers: Sequence[Optimizer]) -> None:
        """Change a model and its optimizers.

        Raises:
            SurgeryError: If an optimizer does not fit, or an autograd graph is alive.
        """
        named = model.tensors
        changed = self._changing(named)
        check_optimizer(changed, optimizers)
        refuse_live_graph(changed, self.after)
        new = self._grown(changed)
        for name, tensor in changed.items():
            self._change_state(name, tensor, optimizers)
            self._assign(name, tensor, new.get(name))
        self._finish(model, changed.values())
        check_tensors(named, self.after, "the model after the change")
        check_state(changed, optimizers)

    def change_copy(self, copy: Anatomy) -> None:
        """Change an averaged copy that is a module."""
        changed = self._changing(copy.tensors)
        new = self._grown(changed)
        for name, tensor in changed.items():
            self._assign(name, tensor, new.get(name))
        self._finish(copy, changed.values())

    def change_mapping(self, copy: MutableMapping[str, Tensor]) -> None:
        """Change an averaged copy that is a mapping."""
        changed = self._changing(copy)
        new = self._grown(changed)
        for name, tensor in changed.items():
            self._set(copy, name, new[name] if new else self._pruned(name, tensor, 1))

    def _changing(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors that change."""
        names = self.before.layout.tensors
        return {name: named[name] for name in names if name in named and self.reindexing.changes(name)}

    def _grown(self, changed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the new values of all tensors if units come, and nothing otherwise."""
        if not self.growing:
            return {}
        new = {name: self._reindexed(name, tensor.detach()) for name, tensor in changed.items()}
        fill(new, {name: tensor.detach() for name, tensor in changed.items()}, self.after, self.growing)
        return new

    def _reindexed(self, name: str, tensor: Tensor) -> Tensor:
        return reindexed(tensor, self.reindexing.of(name, tensor.device))

    def _pruned(self, name: str, tensor: Tensor, num_holders: int) -> Tensor:
        """Return a tensor at the new widths, in its own memory if it is large and nothing else holds it."""
        changes = self.reindexing.of(name, tensor.device)
        if self.growing or not fits_compaction(tensor, changes, num_holders):
            return reindexed(tensor.detach(), changes)
        compaction = Compaction(tensor.detach(), changes)
        self.journal.did(compaction.undo)
        return compaction.run()

    def _change_state(self, name: str, parameter: Tensor, optimizers: Sequence[Optimizer]) -> None:
        shape = self.before.shape(name)
        for optimizer in optimizers:
            state: MutableMapping[str, Any] = optimizer.state.get(parameter, {})
            for key, value in list(state.items()):
                if isinstance(value, Tensor) and value.ndim and (value.shape == shape or fits(value, shape)):
                    self._set(state, key, self._pruned(name, value, 1))

    def _assign(self, name: str, tensor: Tensor, values: Tensor | None) -> None:
        """Give a tensor new values, or prune its own."""
        old, gradient = tensor.data, tensor.grad
        new_gradient = None if gradient is None else self._reindexed(name, gradient)
        self.journal.did(lambda: _put(tensor, old, gradient))
        # `old` holds the same memory as the tensor itself.
        _put(tensor, self._pruned(name, tensor, 2) if values is None else values, new_gradient)

    def _set(self, mapping: MutableMapping[str, Any], key: str, value: Tensor) -> None:
        self.journal.did(partial(mapping.__setitem__, key, mapping[key]))
        mapping[key] = value

    def _finish(self, model: Anatomy, tensors: Iterable[Tensor]) -> None:
        """Let the numbers that modules keep agree with the tensors, and with the sizes that code reads."""
        touched = {id(module): module for tensor in tensors for module in model.holders[id(tensor)]}
        for module in touched.values():
            self.journal.did(partial(vars(module).update, refresh(module)))
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()
        for (name, attribute), value in self.after.settings().items():
            own = vars(model.modules[name])
            self.journal.did(partial(own.update, {attribute: own[attribute]}))
            own[attribute] = value


def _put(tensor: Tensor, values: Tensor, gradient: Tensor | None) -> None:
    if tensor.grad is not None:
        tensor.grad = None  # one of another shape would be refused
    tensor.data = values
    if gradient is not None:
        tensor.grad = gradient
