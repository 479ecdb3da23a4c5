"""A key for a model's structure: equal keys, equal units."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from hashlib import sha256
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from neurosearch.neurons.code import functions_of

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_SIMPLE = {bool, int, float, str, type(None)}
_DICTS = {dict, OrderedDict}
_TABLES = {"_parameters", "_buffers", "_modules"}


class _NoKeyError(Exception):
    """A value that cannot be part of a key."""


def fingerprint(modules: Mapping[str, nn.Module], inputs: tuple[Any, ...]) -> Hashable | None:
    """Return a key made of the modules' classes, code, settings and tensor shapes and of the inputs' shapes.

    Functions that a module holds are part of the key by identity and code. The key keeps them alive.

    Args:
        modules: Each module once, by name.
        inputs: Arguments of the forward.

    Returns:
        The key, or None if a module holds something that may change and yet stay equal to itself.
    """
    seen: dict[int, int] = {}
    kinds = dict.fromkeys(type(module) for module in modules.values())
    try:
        own = tuple([_module_key(name, module, seen) for name, module in modules.items()])
        return own, tuple((kind, functions_of(kind)) for kind in kinds), _value_key(inputs, seen)
    except _NoKeyError:
        return None


def values_key(inputs: tuple[Any, ...]) -> bytes:
    """Return a key of all numbers in the inputs' tensors."""
    digest = sha256()
    for tensor in tree_leaves(inputs):
        if isinstance(tensor, Tensor) and not tensor.is_meta:
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _module_key(name: str, module: nn.Module, seen: dict[int, int]) -> Hashable:
    own = vars(module)
    tensors = tuple(
        (key, None if tensor is None else _tensor_key(tensor, seen))
        for table in ("_parameters", "_buffers")
        for key, tensor in own[table].items()
    )
    children = tuple((key, seen.setdefault(id(child), len(seen))) for key, child in own["_modules"].items())
    settings = []
    for key, value in own.items():
        kind = type(value)
        if kind in _SIMPLE:
            settings.append((key, kind, value if key != "training" else None))
        elif not (kind in _DICTS and not value) and key not in _TABLES:
            settings.append((key, kind, _value_key(value, seen)))
    return name, type(module), seen.setdefault(id(module), len(seen)), tensors, children, tuple(settings)


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
    if isinstance(value, FunctionType):
        return _function_key(value, seen)
    parts = _parts(value)
    return _constant(value) if parts is None else (type(value), tuple(_value_key(part, seen) for part in parts))


def _parts(value: object) -> Iterable[object] | None:
    """Return what a collection or a bound function consists of, None for anything else."""
    match value:
        case list() | tuple():
            return value
        case set() | frozenset():
            return sorted(value, key=repr)
        case dict():
            return [part for item in value.items() for part in item]
        case MethodType():
            return (value.__func__, value.__self__)
        case partial():
            return (value.func, value.args, value.keywords)
        case _:
            return None


def _function_key(function: FunctionType, seen: dict[int, int]) -> Hashable:
    """Return a key of a function, its code, and what it holds on to: all of that can be replaced."""
    if id(function) in seen:  # it holds itself, or stands here a second time
        return FunctionType, seen[id(function)]
    seen[id(function)] = len(seen)
    try:
        held = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # a name that has no value yet
        raise _NoKeyError from None
    return function, function.__code__, tuple(_value_key(item, seen) for item in held)


def _constant(value: object) -> Hashable:
    """Return a value that stays what it is as long as it is equal.

    An object that is equal to nothing but itself, such as a plain config, can change and keep its hash.
    """
    try:
        hash(value)
    except TypeError:
        raise _NoKeyError from None
    is_itself = type(value).__hash__ is object.__hash__
    if is_itself and not isinstance(value, (type, BuiltinFunctionType)):
        raise _NoKeyError
    return value
