"""Finds the units of a model: trace, then prove the result by runs at other widths; once per structure."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from threading import Lock
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neurosearch.longwork import long_work
from neurosearch.neurons.anatomy import Anatomy, anatomy_of
from neurosearch.neurons.asked import a_module
from neurosearch.neurons.compiled import is_compiled
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.fingerprint import fingerprint, values_key
from neurosearch.neurons.forward import Pass, needs_training_run
from neurosearch.neurons.proof import Proof, where
from neurosearch.neurons.registry import remember
from neurosearch.neurons.units import Units

_CACHE_SIZE = 256
_cache: OrderedDict[Hashable, Units] = OrderedDict()
_lock = Lock()


def find_units(model: nn.Module, example_inputs: tuple[Any, ...]) -> Units:
    """Find every group of neurons or channels of a model that can be pruned and grown exactly.

    The model's forward is run without arithmetic (on the meta device) where its code allows that, and with the given
    inputs where it does not. Nothing of the model changes. Results are kept per structure, so asking again for the same
    architecture at the same widths costs next to nothing. Where the code needs values, they are kept for these inputs
    alone, because its way may depend on them.

    Args:
        model: Any module; `torch.compile`d ones are looked through.
        example_inputs: Positional arguments of the model's forward; a batch of one is enough.

    Returns:
        The groups, and what is frozen and why.

    Raises:
        SurgeryError: If the model cannot be run with these inputs, or has lazy modules that were never run.
    """
    model = plain_model(model)
    inputs = _checked(example_inputs)
    anatomy = anatomy_of(model)
    _refuse_unmade(anatomy)
    key = fingerprint(anatomy.modules, inputs)
    found = None if key is None else _stored(key, inputs)
    if found is None:
        with long_work("tracing the network"):
            units, needs_values = _find(model, inputs, anatomy)
        found = remember(units)
        if key is not None:
            _store((key, values_key(inputs)) if needs_values else key, found)
    return found


def forget() -> None:
    """Forget every structure that was traced, so that the next search traces anew: for measurements and tests."""
    with _lock:
        _cache.clear()


def plain_model(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`'s wrapper, or the module itself.

    Raises:
        SurgeryError: If it is no module, or wrapped for distributed training.
    """
    model = a_module(model)
    if is_compiled(model):
        model = model.get_submodule("_orig_mod")
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise SurgeryError(
            "The model is wrapped in DistributedDataParallel, whose buckets and hooks hold the old shapes. Pass "
            "`wrapper.module`, drop the wrapper before a change and make a new one after it."
        )
    return model


def _stored(key: Hashable, inputs: tuple[Any, ...]) -> Units | None:
    with _lock:
        found = _cache.get(key)
    if found is None:
        by_values = (key, values_key(inputs))
        with _lock:
            found = _cache.get(by_values)
    return found


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


def _refuse_unmade(anatomy: Anatomy) -> None:
    """Refuse lazy modules, whose tensors have no shape before the first batch."""
    for name, tensor in anatomy.tensors.items():
        if is_lazy(tensor):
            raise SurgeryError(
                f"{name} has no shape yet: its module is lazy and gets one from the first batch. Run the model once, "
                "model(*example_inputs), before its units are asked for."
            )


def _find(model: nn.Module, inputs: tuple[Any, ...], anatomy: Anatomy) -> tuple[Units, bool]:
    """Trace on the meta device, or for real if the code needs values; return the units, and whether it does."""
    failure: Exception | None = None
    has_values = not any(parameter.is_meta for parameter in anatomy.parameters.values())
    for on_meta in (True, False) if has_values else (True,):
        run = Pass(model, inputs, (False,), on_meta, anatomy)
        try:
            trace = run.follow({}, {})
            if needs_training_run(anatomy, trace.used):
                run = Pass(model, inputs, (False, True), on_meta, anatomy)
                trace = run.follow({}, {})
            if trace.script.has_hidden:
                run = replace(run, watches_constants=True)
                trace = run.follow({}, {})
        except Exception as error:  # noqa: BLE001  the user's forward raises anything
            failure = error
        else:
            return Proof(run, trace).units(), not on_meta
    assert failure is not None
    raise SurgeryError(
        f"The model cannot be run with these example inputs: {where(failure, model)} raised "
        f"{type(failure).__name__}: {failure}. Pass the tuple of positional arguments that its forward takes, with the "
        "shapes and types of real data."
    ) from failure
