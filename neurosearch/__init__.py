"""Distributed hyperparameter search for networks whose number of neurons changes while they train.

`run` and `load` give studies as Python values; see `neurosearch.notebook`, which is imported when one is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

# Not imported by a statement, also not for types (those are in __init__.pyi): every room is below this module, and a
# statement would tie each that asks for the version to all that a notebook needs.
_LAZY = ("Study", "load", "run")


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module("neurosearch.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*globals(), *_LAZY))
