"""The widths of a network as plain values, for checkpoints and exports."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from neurosearch.neurons.anatomy import anatomy_of
from neurosearch.neurons.certificate import check_tensors
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.plan import Change, Plan
from neurosearch.neurons.registry import remember
from neurosearch.neurons.surgery import apply_plan
from neurosearch.neurons.units import FIXED, Layout, Units, layout_from_json, layout_to_json

_FORMAT_VERSION = 1


def structure(model: nn.Module, units: Units) -> dict[str, Any]:
    """Return what `restore_structure` needs, of plain JSON types alone.

    Raises:
        SurgeryError: If the units are not this model's.
    """
    check_tensors(anatomy_of(plain_model(model)).tensors, units, "the model")
    return {
        "format_version": _FORMAT_VERSION,
        "sizes": {group.name: group.size for group in units.groups},
        "layout": layout_to_json(units.layout),
    }


def restore_structure(model: nn.Module, value: Mapping[str, Any]) -> Units:
    """Give a model of the same architecture, at any widths, the widths of a stored structure.

    The values of the resized tensors mean nothing: load the state dict next.

    Args:
        model: The model as it was first built; changed in place.
        value: What `structure` returned.

    Returns:
        The model's units.

    Raises:
        SurgeryError: If the structure is of another format or architecture; the model is unchanged.
    """
    version = _format_version(value)
    if version != _FORMAT_VERSION:
        raise SurgeryError(
            f"The structure has format version {version}, this code reads {_FORMAT_VERSION}. Restore it with the "
            "version that wrote it."
        )
    layout, wanted = _stored(value)
    units = remember(Units(layout, _sizes_of(plain_model(model), layout)))
    changes = []
    for facts, old, new in zip(layout.groups, units.sizes, wanted, strict=True):
        if new != old:
            changes.append(Change(facts.name, tuple(range(new, old)), max(new - old, 0), "zero_outgoing", 0))
    named = tuple((facts.name, size) for facts, size in zip(layout.groups, units.sizes, strict=True))
    return apply_plan(Plan(layout.digest, named, (tuple(changes),) if changes else ()), model)


def _format_version(value: object) -> object:
    if not isinstance(value, Mapping) or "format_version" not in value:
        raise SurgeryError(f"This {type(value).__name__} is no structure. Pass what structure(model, units) returned.")
    return value["format_version"]


def _stored(value: Mapping[str, Any]) -> tuple[Layout, list[int]]:
    """Return the layout and the sizes that were stored."""
    try:
        layout = layout_from_json(value["layout"])
        return layout, [int(value["sizes"][facts.name]) for facts in layout.groups]
    except (KeyError, TypeError, ValueError) as error:
        raise SurgeryError(
            f"The structure is damaged: {type(error).__name__}: {error}. Take the one that was stored before it."
        ) from error


def _sizes_of(model: nn.Module, layout: Layout) -> tuple[int, ...]:
    """Read the size of each group off a dimension that holds nothing else that changes."""
    named = anatomy_of(model).tensors
    sizes: dict[int, int] = {}
    for name, dimensions in layout.tensors.items():
        tensor = named.get(name)
        if tensor is None or tensor.ndim != len(dimensions):
            raise SurgeryError(
                f"The structure has a tensor {name}, the model has none of that rank. Build the architecture that the "
                "structure was taken from."
            )
        for blocks, length in zip(dimensions, tensor.shape, strict=True):
            groups = {block.group for block in blocks} - {FIXED}
            if len(groups) == 1:
                fixed = sum(block.repeat for block in blocks if block.group == FIXED)
                repeats = sum(block.repeat for block in blocks if block.group != FIXED)
                sizes.setdefault(groups.pop(), (length - fixed) // repeats)
    assert len(sizes) == len(layout.groups), "a group has no dimension of its own"
    return tuple(sizes[index] for index in range(len(layout.groups)))


def same_on_all_ranks(plan: Plan) -> None:
    """Check that every rank of a distributed training is about to apply the same plan.

    Raises:
        SurgeryError: On every rank, if the plans differ.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return
    digests: list[str] = [""] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(digests, plan.digest)
    if len(set(digests)) > 1:
        raise SurgeryError(
            f"The ranks are about to apply different plans ({len(set(digests))} of {len(digests)}). Decide on one rank "
            "and broadcast Plan.to_json, or reduce the scores over all ranks first."
        )
