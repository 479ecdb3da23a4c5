"""Lends a model other tensors for a while: every module is as before afterwards, whatever its forward did.

A run on the meta device computes shapes alone. It costs no arithmetic, draws no random numbers and cannot touch the
model's own tensors.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from neurosearch.neurons.attributes import refresh

Lend = Callable[[Tensor], Tensor]
Settings = Mapping[tuple[str, str], Any]  # (module, attribute) to value


@contextmanager
def borrowed(named: Mapping[str, nn.Module], lend: Lend, settings: Settings, *, training: bool) -> Iterator[None]:
    """Replace every tensor of a model's modules by what `lend` returns for it; restore all modules at the end.

    Args:
        named: Every module of the model by name.
        lend: Gives the replacement of a parameter, buffer or plain tensor attribute.
        settings: Attributes of modules to set meanwhile.
        training: The mode to run in. Normalisations run in eval mode all the same, since they refuse a batch of one
            in training.
    """
    modules = list(named.values())
    saved = [_save(module) for module in modules]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        for module in modules:
            _lend(module, lend)
            vars(module)["training"] = training and not isinstance(module, _NormBase)
            refresh(module)
        for (name, attribute), value in settings.items():
            vars(named[name])[attribute] = value
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=fastpath)
        for module, state in zip(modules, saved, strict=True):
            _restore(module, state)


_WITHOUT_TENSORS = {bool, int, float, str, type(None), dict, OrderedDict, set}
_TABLES = ("_parameters", "_buffers", "_modules")


def _save(module: nn.Module) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    own = vars(module)
    return dict(own), {table: dict(own[table]) for table in _TABLES}


def _restore(module: nn.Module, state: tuple[dict[str, Any], dict[str, dict[str, Any]]]) -> None:
    plain, tables = state
    own = vars(module)
    own.clear()
    own.update(plain)
    for table, content in tables.items():
        own[table].clear()
        own[table].update(content)


def _lend(module: nn.Module, lend: Lend) -> None:
    own = vars(module)
    for table in ("_parameters", "_buffers"):
        for name, tensor in own[table].items():
            if tensor is not None:
                own[table][name] = lend(tensor)
    for name, value in own.items():
        kind = type(value)
        if kind in _WITHOUT_TENSORS:
            continue
        if isinstance(value, Tensor):
            own[name] = lend(value)
        elif kind in {list, tuple} and any(isinstance(item, Tensor) for item in value):
            own[name] = type(value)([lend(item) if isinstance(item, Tensor) else item for item in value])
