"""What callers ask for, checked once at the door: the types that Python itself would take for something else."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.units import Units

Batch = tuple[Tensor, Tensor]


def by_group(asked: object, example: str) -> Mapping[Any, Any]:
    """Return what was asked for each group.

    Raises:
        SurgeryError: If it is no mapping.
    """
    if not isinstance(asked, Mapping):
        raise SurgeryError(f"{_a(asked)} was given where a mapping from group names is needed. Write {example}.")
    return asked


def whole_positions(group: str, positions: Any) -> list[int]:
    """Return positions as whole numbers; a mask, a fraction or a single number is none of them.

    Raises:
        SurgeryError: If they are no iterable of whole numbers.
    """
    if isinstance(positions, Tensor):
        if positions.dtype == torch.bool:
            raise SurgeryError(
                f"group {group}: a mask was given where positions are needed. Pass mask.nonzero().flatten()."
            )
        positions = positions.flatten().tolist()
    remedy = "Pass whole numbers in a list, such as [0, 2]."
    if isinstance(positions, str) or not isinstance(positions, Iterable):
        raise SurgeryError(f"group {group}: {positions!r} is no list of positions. {remedy}")
    found = []
    for position in positions:
        number = _whole(position)
        if number is None:
            raise SurgeryError(f"group {group}: position {position!r} is no whole number. {remedy}")
        found.append(number)
    return found


def whole_count(group: str, count: Any) -> int:
    """Return how many new units are asked for.

    Raises:
        SurgeryError: If it is no whole number, or below 0.
    """
    number = _whole(count)
    if number is None:
        raise SurgeryError(f"group {group}: {count!r} new units were asked for. Ask for a whole number, such as 2.")
    if number < 0:
        raise SurgeryError(f"group {group}: {number} new units were asked for. Use prune to remove units.")
    return number


def pairs(batches: Any) -> Iterator[Batch]:
    """Yield the batches.

    Raises:
        SurgeryError: If they are not pairs of inputs and targets.
    """
    remedy = "Pass an iterable of (inputs, targets) pairs; one batch alone is [(inputs, targets)]"
    if isinstance(batches, Tensor) or not isinstance(batches, Iterable):
        raise SurgeryError(f"{_a(batches)} was given where batches are needed. {remedy}.")
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise SurgeryError(f"{_a(batch)} was given where a batch is needed. {remedy}.")
        yield batch[0], batch[1]


def optimizers_of(value: Any) -> tuple[Optimizer, ...]:
    """Return one optimizer, several, or none as a tuple; wrappers with a state of their own count, too.

    Raises:
        SurgeryError: If something else was given.
    """
    found = () if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
    for one in found:
        if not (hasattr(one, "param_groups") and hasattr(one, "state")):
            raise SurgeryError(
                f"{_a(one)} was given where an optimizer is needed. Pass the torch.optim.Optimizer that holds the "
                "model's parameters (several as a tuple)."
            )
    return found


def a_module(model: Any) -> nn.Module:
    """Return a model.

    Raises:
        SurgeryError: If it is no module.
    """
    if not isinstance(model, nn.Module):
        raise SurgeryError(f"{_a(model)} was given where a model is needed. Pass a torch.nn.Module.")
    return model


def known_units(units: Any) -> Units:
    """Return a network's units.

    Raises:
        SurgeryError: If something else was given.
    """
    if not isinstance(units, Units):
        raise SurgeryError(
            f"{_a(units)} was given where units are needed. Pass what find_units or apply_plan returned last."
        )
    return units


def refuse_inference_mode() -> None:
    """Refuse to work where tensors are made that can never have a gradient.

    Raises:
        SurgeryError: Inside `torch.inference_mode`.
    """
    if torch.is_inference_mode_enabled():
        raise SurgeryError(
            "This was called inside torch.inference_mode, whose tensors can never have a gradient. Call it outside."
        )


def _whole(value: Any) -> int | None:
    """Return a number of any library as Python's, None if it is a truth value, a fraction, or no number."""
    if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _a(value: object) -> str:
    name = type(value).__name__
    return f"{'An' if name[0] in 'aeiouAEIOU' else 'A'} {name}"
