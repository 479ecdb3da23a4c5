"""Every tensor and module of a model by name, found in one walk; PyTorch's own iterators take several."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Anatomy:
    """What a model consists of.

    Attributes:
        modules: Each module once, under its first name.
        parameters: Each parameter once, under its first name.
        buffers: Each buffer once, under its first name.
        holders: For each tensor, by id, the modules that hold it.
    """

    modules: dict[str, nn.Module]
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    holders: dict[int, list[nn.Module]]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every parameter, then every buffer."""
        return {**self.parameters, **self.buffers}


def anatomy_of(model: nn.Module) -> Anatomy:
    """Return what a model consists of, with the names and in the order of `named_parameters` and its like."""
    modules = dict(_modules(model, "", set()))
    found = Anatomy(modules, {}, {}, {})
    for name, module in modules.items():
        prefix = f"{name}." if name else ""
        own = vars(module)
        for table, named in (("_parameters", found.parameters), ("_buffers", found.buffers)):
            for key, tensor in own[table].items():
                if tensor is not None:
                    if id(tensor) not in found.holders:
                        named[prefix + key] = tensor
                        found.holders[id(tensor)] = []
                    found.holders[id(tensor)].append(module)
    return found


def _modules(module: nn.Module, name: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield name, module
    prefix = f"{name}." if name else ""
    for key, child in vars(module)["_modules"].items():
        if child is not None:
            yield from _modules(child, prefix + key, seen)
