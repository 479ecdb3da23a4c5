"""Applies plans: the one place where a network's tensors change their shape.

Everything that has the shape of a parameter changes with it: its gradient, its optimizer state, averaged copies, and
the numbers that modules keep beside their tensors. `Parameter` objects stay the same ones.
"""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from neurosearch.neurons.anatomy import Anatomy, anatomy_of
from neurosearch.neurons.asked import optimizers_of, refuse_inference_mode
from neurosearch.neurons.certificate import check_room, check_tensors
from neurosearch.neurons.compiled import is_compiled
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.journal import Journal
from neurosearch.neurons.merging import merge
from neurosearch.neurons.operation import Operation
from neurosearch.neurons.plan import Change, Plan
from neurosearch.neurons.registry import layout_by_digest
from neurosearch.neurons.reindex import Reindexing
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
    patient = _patient(plan, model, optimizer, averaged)
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
        raise SurgeryError(
            f"The plan could not be applied, nothing changed: {type(error).__name__}: {error}. Where memory ran out, "
            "plan fewer new units; anything else is a mistake of this package."
        ) from error
    if is_compiled(model) and plan.steps:
        torch.compiler.reset()
    return patient.units


def _patient(plan: Plan, model: nn.Module, optimizer: object, averaged: Iterable[Averaged]) -> "_Patient":
    """Take in a network with all that belongs to it."""
    if not isinstance(plan, Plan):
        raise SurgeryError(
            f"A {type(plan).__name__} was given where a plan is needed. Write apply_plan(plan, model, optimizer), with "
            "a plan from grow or prune."
        )
    refuse_inference_mode()
    units = Units(layout_by_digest(plan.layout), tuple(size for _, size in plan.sizes))
    model = plain_model(model)
    if isinstance(averaged, (nn.Module, MutableMapping)):
        raise SurgeryError("averaged is one copy, and must be all of them. Write averaged=(copy,).")
    copies = tuple(map(_averaged, averaged))
    return _Patient(units, anatomy_of(model), optimizers_of(optimizer), copies, _other_names(model) if copies else {})


def _other_names(model: nn.Module) -> dict[str, str]:
    """Return the second and later names of tied tensors, which a state dict has, too, and the first one of each."""
    first: dict[int, str] = {}
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    names = [(name, first.setdefault(id(tensor), name)) for name, tensor in named]
    return {name: own for name, own in names if name != own}


def _averaged(averaged: Averaged) -> Anatomy | MutableMapping[str, Tensor]:
    if isinstance(averaged, (AveragedModel, nn.Module)):
        return anatomy_of(plain_model(averaged.module if isinstance(averaged, AveragedModel) else averaged))
    if not isinstance(averaged, MutableMapping):
        raise SurgeryError(
            f"A {type(averaged).__name__} was given as an averaged copy. Pass a module, an AveragedModel, or a dict "
            "from the model's parameter names to tensors."
        )
    return averaged


@dataclass(frozen=True)
class _Patient:
    """A network with everything that must change with it."""

    units: Units
    model: Anatomy
    optimizers: tuple[Optimizer, ...]
    averaged: tuple[Anatomy | MutableMapping[str, Tensor], ...]
    other_names: Mapping[str, str]

    def check(self) -> None:
        """Refuse what does not fit together, before anything changes."""
        check_tensors(self.model.tensors, self.units, "the model")
        for copy in self.averaged:
            if isinstance(copy, Anatomy):
                check_tensors(copy.tensors, self.units, "an averaged copy")
            else:
                self._check_names(copy)
                check_tensors(copy, self.units, "an averaged copy", is_whole=False)

    def _check_names(self, copy: Mapping[str, Tensor]) -> None:
        """Refuse a mapping of which nothing would change, because its names are others, such as those of a wrapper."""
        names = self.model.tensors
        if copy and not any(name in names for name in copy):
            mine, theirs = next(iter(names)), next(iter(copy))
            raise SurgeryError(
                f"An averaged copy names its tensors {theirs!r} and so on, and none like the model, whose first one is "
                f"{mine!r}, so it would stay at the old widths. Rename its keys; a prefix such as 'module.' or "
                "'_orig_mod.' is that of a wrapper."
            )

    def changed(self, step: Sequence[Change], journal: Journal) -> "_Patient":
        """Apply one step; note in the journal how to take it back."""
        index = self.units.layout.index
        sizes = list(self.units.sizes)
        kept, added = {}, {}
        for change in step:
            group = index[change.group]
            if change.removed:
                kept[group] = np.delete(np.arange(sizes[group]), change.removed)
            if change.added:
                added[group] = change.added
            sizes[group] += change.added - len(change.removed)
        after = self.units.with_sizes(tuple(sizes))
        if added:
            check_room(self.model.tensors, self.units, after)
        self._merge(step, journal)
        growing = [change for change in step if change.added]
        padding = self.model.padding if growing else {}
        operation = Operation(self.units, after, Reindexing(self.units, kept, added), growing, padding, journal)
        operation.change_model(self.model, self.optimizers)
        for copy in self.averaged:
            if isinstance(copy, Anatomy):
                operation.change_copy(copy)
            else:
                operation.change_mapping(copy, self.other_names)
        return replace(self, units=after)

    def _merge(self, step: Sequence[Change], journal: Journal) -> None:
        """Leave the outgoing weights of units that go to others, in the network and its copies."""
        merged = {change.group: change.merged for change in step if change.merged}
        for one in (self.model, *self.averaged) if merged else ():
            merge(one.tensors if isinstance(one, Anatomy) else one, self.units, merged, journal)
