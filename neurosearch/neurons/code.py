"""The code that a user's modules consist of, beyond PyTorch's own."""

from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from torch import nn


def functions_of(kind: type[nn.Module]) -> tuple[CodeType, ...]:
    """Return the code of every function that a module's class and its bases define, PyTorch's own classes left out."""
    return tuple(function.__code__ for function in _methods(kind))


def reads(module: nn.Module, name: str) -> bool:
    """Return whether a module's own code may read an attribute: in any method, or in a function that one calls by name.

    PyTorch's own code is left out.
    """
    pending = [*_methods(type(module)), *(one for value in vars(module).values() for one in _functions(value))]
    seen: set[CodeType] = set()
    while pending:
        function = pending.pop()
        for code in _with_inner(function.__code__):
            if code not in seen:
                seen.add(code)
                if name in code.co_names or name in code.co_consts:
                    return True
                pending += _called(code, function.__globals__)
    return False


def _methods(kind: type[nn.Module]) -> Iterator[FunctionType]:
    for base in kind.__mro__:
        if not _is_torch(base.__module__):
            for value in vars(base).values():
                yield from _functions(value)


def _functions(value: object) -> Iterator[FunctionType]:
    """Yield the functions behind a method, a property, or a static or class method."""
    inner = (value.fget, value.fset) if isinstance(value, property) else (getattr(value, "__func__", value),)
    yield from (one for one in inner if isinstance(one, FunctionType))


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code, and that of the functions written inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _called(code: CodeType, known: Mapping[str, Any]) -> Iterator[FunctionType]:
    for name in code.co_names:
        value = known.get(name)
        if isinstance(value, FunctionType) and not _is_torch(value.__module__):
            yield value


def _is_torch(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "torch"
