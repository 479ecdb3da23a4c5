"""Applies plans: the one place where a network's tensors change their shape.

Everything that has the shape of a parameter changes with it: its gradient, its optimizer state, averaged copies, and
the numbers that modules keep beside their tensors. `Parameter` objects stay the same ones.
"""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from neurosearch.neurons.attributes import refresh
from neurosearch.neurons.borrowed import tensors_by_name
from neurosearch.neurons.certificate import check_optimizer, check_state, check_tensors, refuse_live_graph
from neurosearch.neurons.compaction import Compaction, fits_compaction
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.journal import Journal
from neurosearch.neurons.plan import Change, Plan
from neurosearch.neurons.registry import layout_by_digest
from neurosearch.neurons.reindex import Reindexing, fits, reindexed
from neurosearch.neurons.starts import fill
from neurosearch.neurons.units import Units

Averaged = nn.Module | MutableMapping[str, Tensor]


def apply_plan(
    plan: Plan,
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    averaged: Iterable[Averaged] = (),
) -> Units:
    """Change a network as planned, together with its optimizer's state and its averaged copies.

    Only between training steps: no autograd graph may be alive. New units' moments are 0. A model that was compiled is
    compiled again at its next call.

    Args:
        plan: What to change.
        model: The network; changed in place.
        optimizer: Holds its parameters; one or several.
        averaged: Averaged copies: modules of the same structure, `AveragedModel`s, or mappings from parameter name to
            tensor.

    Returns:
        The units of the changed network.

    Raises:
        SurgeryError: If anything does not fit; then everything is bit for bit as before.
    """
    network = plain_model(model)
    units = Units(layout_by_digest(plan.layout), tuple(size for _, size in plan.sizes))
    optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer or ())
    patient = _Patient(units, network, optimizers, tuple(_tensors_of(one) for one in averaged))
    patient.check()
    journal = Journal()
    try:
        with torch.no_grad():
            for step in plan.steps:
                patient = patient.changed(step, journal)
    except BaseException as error:
        journal.roll_back()
        if isinstance(error, SurgeryError) or not isinstance(error, Exception):
            raise
        raise SurgeryError(f"The plan could not be applied, nothing changed: {error}") from error
    if isinstance(model, OptimizedModule) and plan.steps:
        torch.compiler.reset()
    return patient.units


@dataclass(frozen=True)
class _Copy:
    """An averaged copy: its tensors by the model's names, and where a mapping keeps them."""

    tensors: Mapping[str, Tensor]
    module: nn.Module | None
    mapping: MutableMapping[str, Tensor] | None


def _tensors_of(averaged: Averaged) -> _Copy:
    if isinstance(averaged, AveragedModel):
        averaged = averaged.module
    if isinstance(averaged, nn.Module):
        return _Copy(tensors_by_name(averaged), averaged, None)
    return _Copy(averaged, None, averaged)


@dataclass(frozen=True)
class _Patient:
    """A network with everything that must change with it."""

    units: Units
    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    averaged: tuple[_Copy, ...]

    def check(self) -> None:
        """Refuse what does not fit together, before anything changes."""
        named = tensors_by_name(self.model)
        check_tensors(named, self.units, "the model")
        for copy in self.averaged:
            check_tensors(copy.tensors, self.units, "an averaged copy", is_whole=copy.mapping is None)

    def changed(self, step: Sequence[Change], journal: Journal) -> "_Patient":
        """Apply one step; note in the journal how to take it back."""
        index = self.units.layout.index
        sizes = list(self.units.sizes)
        kept, added = {}, {}
        for change in step:
            group = index[change.group]
            if change.removed:
                stays = torch.ones(sizes[group], dtype=torch.bool)
                stays[torch.tensor(change.removed)] = False
                kept[group] = stays.nonzero().flatten()
            if change.added:
                added[group] = change.added
            sizes[group] += change.added - len(change.removed)
        after = self.units.with_sizes(tuple(sizes))
        work = _Work(self.units, after, Reindexing(self.units, kept, added), [c for c in step if c.added], journal)
        named = tensors_by_name(self.model)
        work.change_model(self.model, named, self.optimizers)
        for copy in self.averaged:
            work.change_copy(copy)
        for module in (self.model, *(copy.module for copy in self.averaged if copy.module is not None)):
            work.bind(module)
        return _Patient(after, self.model, self.optimizers, self.averaged)


@dataclass(frozen=True)
class _Work:
    """One step on its way."""

    before: Units
    after: Units
    reindexing: Reindexing
    growing: Sequence[Change]
    journal: Journal

    def change_model(self, model: nn.Module, named: Mapping[str, Tensor], optimizers: Sequence[Optimizer]) -> None:
        """Change a model and its optimizers."""
        changed = {name: named[name] for name in self._changing(named)}
        check_optimizer(changed, optimizers)
        refuse_live_graph(changed, self.after)
        grown = {}
        if self.growing:
            grown = {name: self._reindexed(name, tensor.data) for name, tensor in changed.items()}
            fill(grown, {name: tensor.data for name, tensor in changed.items()}, self.after, self.growing)
        for name, tensor in changed.items():
            self._change_state(name, tensor, optimizers)
            self._assign(name, tensor, grown.get(name))
        self._refresh(model, list(changed.values()))
        check_tensors(named, self.after, "the model after the change")
        check_state(changed, optimizers)

    def change_copy(self, copy: _Copy) -> None:
        """Change an averaged copy."""
        changed = {name: self._reindexed(name, copy.tensors[name].detach()) for name in self._changing(copy.tensors)}
        fill(changed, {name: copy.tensors[name].detach() for name in changed}, self.after, self.growing)
        if copy.mapping is not None:
            for name, values in changed.items():
                self._set(copy.mapping, name, values)
            return
        assert copy.module is not None
        for name, values in changed.items():
            self._assign(name, copy.tensors[name], values)
        self._refresh(copy.module, [copy.tensors[name] for name in changed])

    def bind(self, model: nn.Module) -> None:
        """Set the attributes that code reads sizes from."""
        for (name, attribute), value in self.after.settings().items():
            own = vars(model.get_submodule(name))
            self.journal.did(partial(own.update, {attribute: own[attribute]}))
            own[attribute] = value

    def _changing(self, named: Mapping[str, Tensor]) -> list[str]:
        """Return the names of the tensors that change."""
        return [name for name in self.before.layout.tensors if name in named and self.reindexing.changes(name)]

    def _reindexed(self, name: str, tensor: Tensor) -> Tensor:
        return reindexed(tensor, self.reindexing.of(name, tensor.device))

    def _pruned(self, name: str, tensor: Tensor, num_holders: int = 1) -> Tensor:
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
                    self._set(state, key, self._pruned(name, value))

    def _assign(self, name: str, tensor: Tensor, values: Tensor | None = None) -> None:
        """Give a tensor new values, or prune its own."""
        gradient = tensor.grad
        new_gradient = None if gradient is None else self._reindexed(name, gradient)
        old = tensor.data
        self.journal.did(lambda: _put(tensor, old, gradient))
        _put(tensor, self._pruned(name, tensor, num_holders=2) if values is None else values, new_gradient)

    def _set(self, mapping: MutableMapping[str, Any], key: str, value: Tensor) -> None:
        old = mapping[key]

        def undo() -> None:
            mapping[key] = old

        self.journal.did(undo)
        mapping[key] = value

    def _refresh(self, model: nn.Module, tensors: Sequence[Tensor]) -> None:
        """Let the modules that hold changed tensors agree with them."""
        changed = {id(tensor) for tensor in tensors}
        for module in model.modules():
            own = vars(module)
            held = (*own["_parameters"].values(), *own["_buffers"].values())
            if any(id(tensor) in changed for tensor in held):
                self.journal.did(partial(own.update, refresh(module)))
                if isinstance(module, nn.RNNBase):
                    module.flatten_parameters()


def _put(tensor: Tensor, values: Tensor, gradient: Tensor | None) -> None:
    if tensor.grad is not None:
        tensor.grad = None  # one of another shape would be refused
    tensor.data = values
    if gradient is not None:
        tensor.grad = gradient
