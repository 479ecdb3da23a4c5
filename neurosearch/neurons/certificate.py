"""Checks that a network is what its units say: cheap ones around every change, and a full one on request."""

import os
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neurosearch.neurons.asked import known_units
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import find_units
from neurosearch.neurons.reindex import fits
from neurosearch.neurons.units import Units

_POSITION_BYTES = 8  # of the number of one position
_REMEDY = "Use an optimizer whose state has the shape of its parameters, such as SGD or AdamW."


def check_tensors(named: Mapping[str, Tensor], units: Units, what: str, *, is_whole: bool = True) -> None:
    """Check that every tensor has the shape that the units imply.

    Args:
        named: Tensors by name.
        units: The units.
        what: Whose tensors these are, for messages.
        is_whole: Whether all of them must be there.

    Raises:
        SurgeryError: If one is missing or has another shape.
    """
    for name in known_units(units).layout.tensors:
        tensor = named.get(name)
        if tensor is None and not is_whole:
            continue
        shape = units.shape(name)
        if tensor is None or tensor.shape != shape:
            real = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
            raise SurgeryError(
                f"{name} of {what} is {real}, but its units say {shape}. Plans and units must be those of this network "
                "as it is now: take the units that apply_plan or find_units returned last for it."
            )


def check_room(named: Mapping[str, Tensor], before: Units, after: Units) -> None:
    """Check before a growth that the memory of this machine could hold its tensors.

    Linux promises more memory than there is, and ends the process that uses it: no error would tell why.

    Args:
        named: Tensors by name.
        before: The units now.
        after: The units that are planned.

    Raises:
        SurgeryError: If all memory of the machine is too small.
    """
    num_bytes = sum(
        prod(shape) * named[name].element_size() for name, shape in after.shapes.items() if named[name].is_cpu
    )
    added = {
        facts.name: new - old
        for facts, old, new in zip(before.layout.groups, before.sizes, after.sizes, strict=True)
        if new > old
    }
    num_bytes += _POSITION_BYTES * sum(added.values())
    if "SC_PHYS_PAGES" in os.sysconf_names and num_bytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        most, amount = max(added, key=lambda name: added[name]), f"{num_bytes / 2**30:.0f} GiB"
        raise SurgeryError(
            f"group {most}: with {added[most]} new units the network would take {amount}, more than this machine has. "
            "Plan fewer new units."
        ) from MemoryError(f"cannot allocate {amount}")  # as if it had been tried: callers look for the cause


def check_optimizer(parameters: Mapping[str, Tensor], optimizers: Sequence[Optimizer]) -> None:
    """Check before a change that optimizers hold the parameters, and that their state can follow.

    Raises:
        SurgeryError: If a trainable parameter is held by none, or a state tensor has a shape of its own.
    """
    if not optimizers:
        return
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in parameters.items():
        if parameter.requires_grad and id(parameter) not in held:
            raise SurgeryError(
                f"The optimizer does not hold {name}, which is to change. Pass the optimizer that was made from this "
                "model's parameters (several as a tuple)."
            )
    check_state(parameters, optimizers)
    for optimizer in optimizers if parameters else ():
        _refuse_shared_state(optimizer)


def _refuse_shared_state(optimizer: Optimizer) -> None:
    """Refuse an optimizer that keeps one row of numbers for all parameters of a group, under one of them."""
    for group in optimizer.param_groups:
        total = sum(parameter.numel() for parameter in group["params"])
        for parameter in group["params"]:
            for key, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor) and value.shape == (total,) and value.shape != parameter.shape:
                    raise SurgeryError(
                        f"{type(optimizer).__name__} keeps {key!r} of all parameters in one row of {total} numbers, "
                        f"which cannot follow a change. {_REMEDY}"
                    )


def check_state(parameters: Mapping[str, Tensor], optimizers: Sequence[Optimizer]) -> None:
    """Check that state tensors have the shape of their parameter, or single positions instead.

    Raises:
        SurgeryError: If one does not, or several are kept in a list.
    """
    for optimizer in optimizers:
        for name, parameter in parameters.items():
            for key, value in optimizer.state.get(parameter, {}).items():
                if not _follows(value, parameter.shape):
                    own = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                    raise SurgeryError(
                        f"{type(optimizer).__name__} keeps {key!r} of {name} in {own}, which does not follow from the "
                        f"parameter's shape {tuple(parameter.shape)}. {_REMEDY}"
                    )


def _follows(value: object, shape: torch.Size) -> bool:
    """Return whether something that an optimizer keeps of a parameter can change with it."""
    if isinstance(value, Tensor):
        return value.shape == shape or value.numel() <= 1 or fits(value, shape)
    if isinstance(value, Mapping):
        value = list(value.values())
    parts = value if isinstance(value, (list, tuple)) else ()
    return not any(isinstance(part, Tensor) and part.numel() > 1 for part in parts)


def refuse_live_graph(parameters: Mapping[str, Tensor]) -> None:
    """Check after a change that no autograd graph holds a parameter in its old shape.

    A node that accumulates a parameter's gradient lives as long as a graph does, and remembers the shape that the
    parameter had when it was made; where none is alive, asking for it makes one of the new shape.

    Raises:
        SurgeryError: If a node is alive.
    """
    with torch.enable_grad():
        held = [name for name, parameter in parameters.items() if parameter.requires_grad and _is_held(parameter)]
    for name in held[:1]:
        raise SurgeryError(
            f"An autograd graph or a DistributedDataParallel wrapper still holds {name} in its old shape. Change "
            "the network between steps only: delete losses and outputs that carry a graph, and drop the wrapper."
        )


def _is_held(parameter: Tensor) -> bool:
    view: Any = parameter.expand_as(parameter)
    node = view.grad_fn.next_functions[0][0]
    return tuple(node._input_metadata[0].shape) != parameter.shape  # noqa: SLF001  nothing public tells


def certify(model: nn.Module, units: Units, example_inputs: tuple[Any, ...]) -> None:
    """Find the units of a network anew and compare; `apply_plan` itself checks shapes alone.

    Raises:
        SurgeryError: If the network's units are not these.
    """
    found = find_units(model, example_inputs)
    if found.digest != units.digest:
        different = [
            name
            for name in dict.fromkeys((*units.layout.tensors, *found.layout.tensors))
            if units.layout.tensors.get(name) != found.layout.tensors.get(name)
        ]
        sizes = [group.name for group in units.groups if group not in found.groups]
        raise SurgeryError(
            f"The network's units are not those expected; they differ at {', '.join((different or sizes)[:3])}. "
            "Restore the network from its last checkpoint."
        )
