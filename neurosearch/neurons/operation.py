"""One step of a plan on its way: every action is noted in a journal before it is done."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neurosearch.neurons.allocation import Room
from neurosearch.neurons.anatomy import Anatomy
from neurosearch.neurons.attributes import refresh
from neurosearch.neurons.certificate import check_optimizer, check_state, check_tensors, refuse_live_graph
from neurosearch.neurons.compaction import Compaction, Moves, fits_compaction
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.journal import Journal
from neurosearch.neurons.plan import Change
from neurosearch.neurons.reindex import Reindex, Reindexing, fits, reindexed
from neurosearch.neurons.starts import fill
from neurosearch.neurons.units import Units


class _Slot(NamedTuple):
    """What an optimizer keeps of a parameter.

    Attributes:
        state: Where it is kept.
        key: Under which name.
        value: What it is.
        single: Dimensions in which it has one position for all of the parameter's, though that has but one, too.
    """

    state: MutableMapping[str, Any]
    key: str
    value: Tensor
    single: frozenset[int]


@dataclass(frozen=True)
class Operation:
    """Changes a network from some units to others.

    Attributes:
        before: The units it has.
        after: The units it is to have.
        reindexing: What becomes of every dimension.
        growing: The groups that gain units.
        padding: The row of each embedding that stands for no token, by the name of its weight.
        journal: Where each action is noted.
    """

    before: Units
    after: Units
    reindexing: Reindexing
    growing: Sequence[Change]
    padding: Mapping[str, int]
    journal: Journal
    _rooms: tuple[Room, Room] = field(default_factory=lambda: (Room(), Room()))

    def change_model(self, model: Anatomy, optimizers: Sequence[Optimizer]) -> None:
        """Change a model and its optimizers.

        Raises:
            SurgeryError: If an optimizer does not fit, or an autograd graph is alive.
        """
        named = model.tensors
        changed = self._changing(named)
        check_optimizer(changed, optimizers)
        new = self._grown(changed)
        for name, tensor in changed.items():
            self._change(name, tensor, new.get(name), optimizers)
        refuse_live_graph(changed)
        self._finish(model, changed.values())
        check_tensors(named, self.after, "the model after the change")
        check_state(changed, optimizers)

    def change_copy(self, copy: Anatomy) -> None:
        """Change an averaged copy that is a module."""
        changed = self._changing(copy.tensors)
        new = self._grown(changed)
        for name, tensor in changed.items():
            self._change(name, tensor, new.get(name), ())
        self._finish(copy, changed.values())

    def change_mapping(self, copy: MutableMapping[str, Tensor], other_names: Mapping[str, str]) -> None:
        """Change an averaged copy that is a mapping.

        Args:
            copy: The mapping.
            other_names: Further names of tied tensors, and the one that the units know.
        """
        changed = self._changing(copy)
        new = self._grown(changed)
        for name, tensor in changed.items():
            self._set(copy, name, new[name] if new else self._reindexed(name, [tensor])[0])
        for other, name in other_names.items():
            if other in copy and name in changed:
                self._set(copy, other, copy[name])

    def _changing(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors that change."""
        names = self.before.layout.tensors
        return {name: named[name] for name in names if name in named and self.reindexing.changes(name)}

    def _grown(self, changed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the new values of all tensors if units come, and nothing otherwise."""
        if not self.growing:
            return {}
        new = {name: self._reindexed(name, [tensor])[0] for name, tensor in changed.items()}
        fill(new, {name: tensor.detach() for name, tensor in changed.items()}, self.after, self.growing)
        for name, row in self.padding.items():
            if name in new and not changed[name][row].any():
                new[name][row] = 0  # no gradient ever reaches it, so what it starts with would stay
        return new

    def _change(self, name: str, tensor: Tensor, values: Tensor | None, optimizers: Sequence[Optimizer]) -> None:
        """Give a tensor new values, or prune its own, and what optimizers keep of it with it."""
        old, gradient = tensor.data, tensor.grad
        if gradient is not None and gradient.layout is not torch.strided:
            raise SurgeryError(
                f"{name} has a sparse gradient, whose positions cannot follow a change. Call optimizer.zero_grad() "
                "before the network changes."
            )
        slots = list(self._slots(name, tensor, optimizers))
        alike = [slot for slot in slots if not slot.single]
        moving = [slot.value for slot in alike]
        moving += [] if gradient is None else [gradient]
        moving += [old] if values is None else []
        moved = self._reindexed(name, moving, old)
        values = moved.pop() if values is None else values
        new_gradient = None if gradient is None else moved.pop()
        self.journal.did(partial(_put, tensor, old, gradient, slots))
        new_slots = [slot._replace(value=value) for slot, value in zip(alike, moved, strict=True)]
        new_slots += [slot._replace(value=self._factor(name, slot)) for slot in slots if slot.single]
        _put(tensor, values, new_gradient, new_slots)

    def _factor(self, name: str, slot: _Slot) -> Tensor:
        """Return what an optimizer keeps of a parameter at the new widths, its single positions left alone."""
        changes = self.reindexing.of(name, slot.value.device)
        changes = {index: change for index, change in changes.items() if index not in slot.single}
        return reindexed([slot.value], changes, self._rooms[0])[0]

    def _slots(self, name: str, tensor: Tensor, optimizers: Sequence[Optimizer]) -> Iterator[_Slot]:
        """Yield what optimizers keep that changes with a tensor."""
        shape = self.before.shape(name)
        is_unclear = any(change.old_size == 1 for change in self.reindexing.of(name, tensor.device).values())
        for optimizer in optimizers:
            state: MutableMapping[str, Any] = optimizer.state.get(tensor, {})
            for key, value in state.items():
                if isinstance(value, Tensor) and value.ndim and (value.shape == shape or fits(value, shape)):
                    yield _Slot(state, key, value, _single(optimizer, key, shape) if is_unclear else frozenset())

    def _reindexed(self, name: str, tensors: Sequence[Tensor], data: Tensor | None = None) -> list[Tensor]:
        """Return tensors at the new widths, in their own memory if they are huge and nothing else holds it.

        Args:
            name: Whose positions they have.
            tensors: The tensors.
            data: That one of them which lies in the same memory as the parameter itself.
        """
        if not tensors:
            return []
        device = tensors[0].device
        if any(one.device != device for one in tensors[1:]):
            return [self._reindexed(name, [one], data)[0] for one in tensors]
        changes = self.reindexing.of(name, device)
        moves = None if self.growing else Moves.of(tensors[0], changes)
        if moves is None:
            return reindexed(tensors, changes, self._rooms[0])
        return [self._compacted(one, changes, moves, 2 if one is data else 1) for one in tensors]

    def _compacted(self, tensor: Tensor, changes: Mapping[int, Reindex], moves: Moves, num_holders: int) -> Tensor:
        if not fits_compaction(tensor, moves, num_holders):
            return reindexed([tensor], changes, self._rooms[0])[0]
        compaction = Compaction(tensor.detach(), moves, self._rooms)
        self.journal.did(compaction.undo)
        return compaction.run()

    def _set(self, mapping: MutableMapping[str, Any], key: str, value: Tensor) -> None:
        self.journal.did(partial(mapping.__setitem__, key, mapping[key]))
        mapping[key] = value

    def _finish(self, model: Anatomy, tensors: Iterable[Tensor]) -> None:
        """Let the numbers that modules keep agree with the tensors, and with the sizes that code reads."""
        touched = {id(module): module for tensor in tensors for module in model.holders[id(tensor)]}
        touched |= {id(module): module for module in model.parametrized(touched)}
        for module in touched.values():
            self.journal.did(partial(vars(module).update, refresh(module)))
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()
        for (name, attribute), value in self.after.settings().items():
            own = vars(model.modules[name])
            self.journal.did(partial(own.update, {attribute: own[attribute]}))
            own[attribute] = value


def _single(optimizer: Optimizer, key: str, shape: tuple[int, ...]) -> frozenset[int]:
    """Return the dimensions of one position in which an optimizer keeps one for all, as it does of other parameters.

    A parameter of one row does not tell whether what is kept has a row for each of its own, or one for all of them.
    """
    found = set()
    for parameter, state in optimizer.state.items():
        value = state.get(key)
        if isinstance(value, Tensor) and value.ndim == parameter.ndim:
            pairs = zip(range(-value.ndim, 0), value.shape, parameter.shape, strict=True)
            found |= {place for place, own, size in pairs if own == 1 != size}
    ndim = len(shape)
    return frozenset(place + ndim for place in found if -place <= ndim and shape[place] == 1)


def _put(tensor: Tensor, values: Tensor, gradient: Tensor | None, slots: Iterable[_Slot]) -> None:
    for slot in slots:
        slot.state[slot.key] = slot.value
    if tensor.grad is not None:
        tensor.grad = None  # one of another shape would be refused
    tensor.data = values
    if gradient is not None:
        tensor.grad = gradient
