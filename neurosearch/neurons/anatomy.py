"""Every tensor and module of a model by name, found in one walk; PyTorch's own iterators take several."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosearch.neurons.errors import SurgeryError


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

    @property
    def padding(self) -> dict[str, int]:
        """The row of each embedding that stands for no token, by the name of its weight."""
        found = {}
        for name, module in self.modules.items():
            if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
                found[f"{name}.weight" if name else "weight"] = module.padding_idx
        return found

    def parametrized(self, holders: Collection[int]) -> list[nn.Module]:
        """Return the modules a tensor of which is computed from those that some modules, by id, hold for them."""
        found = []
        for module in self.modules.values():
            lists = vars(module)["_modules"].get("parametrizations")
            if lists is not None and any(id(one) in holders for one in lists.modules()):
                found.append(module)
        return found


def anatomy_of(model: nn.Module) -> Anatomy:
    """Return what a model consists of, with the names and in the order of `named_parameters` and its like.

    Raises:
        SurgeryError: If a module of it is TorchScript.
    """
    modules: dict[str, nn.Module] = {}
    _collect(model, "", modules, set())
    found = Anatomy(modules, {}, {}, {})
    for name, module in modules.items():
        prefix = f"{name}." if name else ""
        own = vars(module)
        for table, named in (("_parameters", found.parameters), ("_buffers", found.buffers)):
            for key, tensor in own[table].items():
                if tensor is not None:
                    holders = found.holders.setdefault(id(tensor), [])
                    if not holders:
                        named[prefix + key] = tensor
                    holders.append(module)
    return found


def _collect(module: nn.Module, name: str, modules: dict[str, nn.Module], seen: set[int]) -> None:
    """Add a module and all inside it, each under its first name."""
    if id(module) in seen:
        return
    if isinstance(module, torch.jit.ScriptModule):
        raise SurgeryError(
            f"{name or 'The model'} is a TorchScript module, whose tensors cannot change. Use the module that it "
            "was made from, and script or trace it at the end."
        )
    seen.add(id(module))
    modules[name] = module
    prefix = f"{name}." if name else ""
    for key, child in vars(module)["_modules"].items():
        if child is not None:
            _collect(child, prefix + key, modules, seen)
