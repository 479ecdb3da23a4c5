"""Finds the units of a model: trace, group, and prove the result by a second run at other widths."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from threading import Lock
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.fingerprint import fingerprint
from neurosearch.neurons.forward import Pass, Shape, needs_training_run, shapes_of
from neurosearch.neurons.grouping import layout_of
from neurosearch.neurons.labels import LabelGraph
from neurosearch.neurons.registry import remember
from neurosearch.neurons.tracer import describe
from neurosearch.neurons.units import FIXED, Units

_CACHE_SIZE = 256
_cache: OrderedDict[Hashable, Units] = OrderedDict()
_lock = Lock()


def find_units(model: nn.Module, example_inputs: tuple[Any, ...]) -> Units:
    """Find every group of neurons or channels of a model that can be pruned and grown exactly.

    The model's forward is run without arithmetic (on the meta device) where its code allows that, and with the given
    inputs where it does not. Nothing of the model changes. Results are kept per structure, so asking again for the same
    architecture at the same widths costs next to nothing.

    Args:
        model: Any module; `torch.compile`d ones are looked through.
        example_inputs: Positional arguments of the model's forward; a batch of one is enough.

    Returns:
        The groups, and what is frozen and why.

    Raises:
        SurgeryError: If the model cannot be run with these inputs.
    """
    model = plain_model(model)
    inputs = _checked(example_inputs)
    key = fingerprint(model, inputs)
    with _lock:
        found = _cache.get(key) if key is not None else None
    if found is None:
        found = remember(_find(model, inputs))
        if key is not None:
            _store(key, found)
    return found


def plain_model(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`'s wrapper, or the module itself.

    Raises:
        SurgeryError: If it is wrapped for distributed training.
    """
    if isinstance(model, OptimizedModule):
        model = model.get_submodule("_orig_mod")
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise SurgeryError(
            "The model is wrapped in DistributedDataParallel, whose buckets and hooks hold the old shapes. Pass "
            "`wrapper.module`, drop the wrapper before a change and make a new one after it."
        )
    return model


def _store(key: Hashable, units: Units) -> None:
    with _lock:
        _cache[key] = units
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)


def _checked(example_inputs: object) -> tuple[Any, ...]:
    if isinstance(example_inputs, Tensor) or not isinstance(example_inputs, (tuple, list)):
        raise SurgeryError(
            f"example_inputs is a {type(example_inputs).__name__}, but must be the tuple of the forward's positional "
            "arguments. Write find_units(model, (inputs,))."
        )
    return tuple(example_inputs)


def _find(model: nn.Module, inputs: tuple[Any, ...]) -> Units:
    run, graph, outputs = _first_run(model, inputs)
    order = tuple(shapes_of(model))
    while True:
        units = layout_of(graph, order)
        if not units.sizes:
            return units
        proven, guilty, reason = _prove(run, units, outputs)
        if not guilty:
            return proven
        _freeze(graph, units, guilty, reason)


def _first_run(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Pass, LabelGraph, list[Shape]]:
    """Trace on the meta device, or for real if the code needs values."""
    failure: Exception | None = None
    for on_meta in (True, False):
        run = Pass(model, inputs, (False,), on_meta)
        try:
            graph, outputs = run.follow({})
            if needs_training_run(model, _seen(graph).__contains__):
                run = Pass(model, inputs, (False, True), on_meta)
                graph, outputs = run.follow({})
        except Exception as error:  # noqa: BLE001  the user's forward raises anything
            failure = error
        else:
            return run, graph, outputs
    assert failure is not None
    raise SurgeryError(
        f"The model cannot be run with these example inputs: {_where(failure, model)} raised "
        f"{type(failure).__name__}: {failure}. Pass the tuple of positional arguments that its forward takes, with the "
        "shapes and types of real data."
    ) from failure


def _seen(graph: LabelGraph) -> set[str]:
    """Return the names of the tensors that any rule touched."""
    touched = {graph.owner(int(labels[0])) for labels in (*graph.left, *graph.right) if len(labels)}
    touched |= {graph.owner(int(labels[0])) for labels, _ in graph.freezes if len(labels)}
    touched |= set(graph.roles)
    return {graph.owners[owner][0] for owner in touched if owner is not None}


def _prove(run: Pass, units: Units, outputs: list[Shape]) -> tuple[Units, set[int], str]:
    """Run the model with every group wider by another number of units, and compare.

    A size that code holds on to, such as the 3 in a reshape to (3, size, ...), shows up as an error or as other units.

    Returns:
        The units, the groups that do not survive, and why.
    """
    wider = units.with_sizes(tuple(size + 1 + index % 13 for index, size in enumerate(units.sizes)))
    shapes = {name: wider.shape(name) for name in units.layout.tensors}
    try:
        graph, other_outputs = run.follow(shapes)
    except Exception as error:  # noqa: BLE001  the user's forward raises anything
        where = _where(error, run.model)
        return units, _near(units, error, run.model), f"at another width {where} raises: {_first_line(error)}"
    other = layout_of(graph, tuple(shapes_of(run.model)))
    if other_outputs != outputs:
        return units, set(range(len(units.sizes))), "the shape of the network's output follows it"
    return _agreed(units, other)


def _agreed(units: Units, other: Units) -> tuple[Units, set[int], str]:
    if other.layout.digest == units.layout.digest:
        return units, set(), ""
    settled = other.with_sizes(units.sizes) if len(other.sizes) == len(units.sizes) else None
    if settled is not None and 1 in units.sizes and _same_but_repeats(units, settled):
        # One unit alone does not tell a run of repeats from repeated runs; the wider network does.
        return Units(other.layout, units.sizes), set(), ""
    names = [facts.name for facts in units.layout.groups]
    different = {
        block.group
        for tensor, dimensions in units.layout.tensors.items()
        if _named(units, tensor) != _named(other, tensor)
        for blocks in dimensions
        for block in blocks
        if block.group != FIXED
    }
    assert different, names
    return units, different, "at another width the code couples other positions"


def _same_but_repeats(units: Units, other: Units) -> bool:
    names = [[facts.name for facts in one.layout.groups] for one in (units, other)]
    return names[0] == names[1] and all(
        name in other.layout.tensors and other.shape(name) == units.shape(name) for name in units.layout.tensors
    )


def _named(units: Units, tensor: str) -> list[list[tuple[str, int]]]:
    groups = units.layout.groups
    return [
        [("" if block.group == FIXED else groups[block.group].name, block.repeat) for block in blocks]
        for blocks in units.layout.tensors.get(tensor, ())
    ]


def _near(units: Units, error: Exception, model: nn.Module) -> set[int]:
    """Return the groups that the failing module holds a part of, or its nearest ancestor that holds any."""
    for prefix in _paths(error, model):
        found = {
            index
            for index, slices in enumerate(units.layout.slices)
            if any(part.tensor.startswith(f"{prefix}." if prefix else "") for part in slices)
        }
        if found:
            return found
    return set(range(len(units.sizes)))


def _paths(error: Exception, model: nn.Module) -> Iterator[str]:
    """Yield the name of the innermost module whose forward failed, then of its ancestors."""
    names = {id(module): name for name, module in model.named_modules()}
    innermost = ""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if id(owner) in names:
            innermost = names[id(owner)]
        traceback = traceback.tb_next
    parts = innermost.split(".") if innermost else []
    for length in range(len(parts), -1, -1):
        yield ".".join(parts[:length])


def _where(error: Exception, model: nn.Module) -> str:
    name = next(_paths(error, model))
    return describe(name, model.get_submodule(name))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _freeze(graph: LabelGraph, units: Units, groups: set[int], reason: str) -> None:
    for index in groups:
        part = units.layout.slices[index][0]
        owner = graph.owners.index((part.tensor, part.dimension))
        offset = 0
        for block in units.layout.tensors[part.tensor][part.dimension]:
            length = block.repeat if block.group == FIXED else block.repeat * units.sizes[block.group]
            if block.group == index:
                start = graph.starts[owner] + offset
                graph.freeze(np.arange(start, start + length), reason)
            offset += length
