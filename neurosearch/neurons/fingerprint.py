"""A key for a model's structure: equal keys, equal units."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_TABLES = {"_parameters", "_buffers", "_modules", "training"}


class _NoKeyError(Exception):
    """A value that cannot be part of a key."""


def fingerprint(model: nn.Module, inputs: tuple[Any, ...]) -> Hashable | None:
    """Return a key made of the modules' classes, settings and tensor shapes and of the inputs' shapes.

    Functions and other objects that a module holds are part of the key by identity. The key keeps them alive.

    Returns:
        The key, or None if a module holds something whose equality cannot be told.
    """
    seen: dict[int, int] = {}
    try:
        modules = tuple(_module_key(name, module, seen) for name, module in model.named_modules(remove_duplicate=False))
        return modules, _value_key(inputs, seen)
    except _NoKeyError:
        return None


def _module_key(name: str, module: nn.Module, seen: dict[int, int]) -> Hashable:
    own = vars(module)
    tensors = tuple(
        (key, None if tensor is None else _tensor_key(tensor, seen))
        for table in ("_parameters", "_buffers")
        for key, tensor in own[table].items()
    )
    settings = tuple((key, _value_key(value, seen)) for key, value in own.items() if key not in _TABLES and value != {})
    return name, type(module), seen.setdefault(id(module), len(seen)), tensors, settings


def _tensor_key(tensor: Tensor, seen: dict[int, int]) -> Hashable:
    # The number tells tied tensors from equal ones.
    return tuple(tensor.shape), tensor.dtype, tensor.device.type, seen.setdefault(id(tensor), len(seen))


def _value_key(value: object, seen: dict[int, int]) -> Hashable:
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, Tensor):
        return _tensor_key(value, seen)
    if isinstance(value, nn.Module):
        return type(value), seen.setdefault(id(value), len(seen))
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return type(value), tuple(_value_key(item, seen) for item in items)
    if isinstance(value, dict):
        return type(value), tuple((_value_key(key, seen), _value_key(item, seen)) for key, item in value.items())
    try:
        hash(value)
    except TypeError:
        raise _NoKeyError from None
    return value
