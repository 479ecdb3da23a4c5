"""Weights from elsewhere put into a network: what fits by name and shape, and in words what does not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_NAMED = 10  # tensors listed by name; more are counted
#: What others put before every name: parallel wrappers, training scripts, and our own exports.
_PREFIXES = ("", "module.", "model.", "network.")
_COUNTER = "num_batches_tracked"  # of batch norm: old files lack it, and it plays no part where momentum is fixed


@dataclass(frozen=True)
class Fit:
    """How stored tensors fit a network, by the network's names.

    Attributes:
        loaded: What is taken from the file.
        replaced: Of the head, as freshly drawn: the file's is for another number of classes.
        absent: Of the network, as freshly drawn: the file has nothing of this name.
        unused: Of the file: the network has nothing of this name.
    """

    loaded: tuple[str, ...]
    replaced: tuple[str, ...]
    absent: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Say whether the network is the file's, tensor by tensor."""
        return not (self.replaced or self.absent or self.unused)

    @property
    def words(self) -> str:
        """Say what was loaded and name all that was not."""
        parts = [f"{len(self.loaded)} tensors are taken from the file"]
        if self.replaced:
            parts.append(f"the class head starts anew ({_listed(self.replaced)}), its size is another")
        if self.absent:
            parts.append(f"the file lacks {_listed(self.absent)}, which start anew")
        if self.unused:
            parts.append(f"the network has no {_listed(self.unused)}, which are left out")
        return "; ".join(parts) + "."


def strip_prefix(names: Collection[str], stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the stored tensors under the network's names, without the prefix under which most of them are found."""

    def found(prefix: str) -> int:
        return sum(prefix + name in stored for name in names)

    best = max(_PREFIXES, key=found)
    return {name.removeprefix(best): tensor for name, tensor in stored.items()}


def fit(network: Mapping[str, Tensor], head: Collection[str], stored: Mapping[str, Tensor]) -> Fit:
    """Return how stored tensors fit a network; nothing is changed, and the network may be without numbers (meta).

    Args:
        network: The network's state dict.
        head: Names of the tensors whose shape depends on the number of classes.
        stored: The file's state dict, under the same names.

    Raises:
        ValueError: If a tensor outside the head has another shape or kind of number, or a value that is not finite, or
            if nothing outside the head fits.
    """
    common = [name for name in network if name in stored]
    other_head = any(name in head and stored[name].shape != network[name].shape for name in common)
    loaded = [name for name in common if not (other_head and name in head)]
    _check_tensors({name: network[name] for name in loaded}, stored)
    unused = tuple(name for name in stored if name not in network)
    if not any(name not in head and not name.endswith(_COUNTER) for name in loaded):
        raise ValueError(
            f"nothing in the file fits the network: it holds {_listed(unused or tuple(stored))}, and the network "
            f"{_listed(tuple(network))}. Name a file of this kind of network, or another model."
        )
    absent = tuple(name for name in network if name not in stored and not name.endswith(_COUNTER))
    return Fit(tuple(loaded), tuple(each for each in common if each not in loaded), absent, unused)


def load(network: nn.Module, stored: Mapping[str, Tensor], found: Fit) -> None:
    """Copy what fits into the network, converted to its precision."""
    network.load_state_dict({name: stored[name] for name in found.loaded}, strict=False)


def _check_tensors(expected: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    shapes = tuple(
        f"{name} ({_shape(stored[name])} in the file, {_shape(tensor)} in the network)"
        for name, tensor in expected.items()
        if stored[name].shape != tensor.shape
    )
    if shapes:
        raise ValueError(
            f"{len(shapes)} tensors have another shape: {_listed(shapes)}. Give the model the widths and the data the "
            "channels that the file was trained with; only the class head may differ."
        )
    kinds = tuple(
        f"{name} ({stored[name].dtype})"
        for name, tensor in expected.items()
        if stored[name].is_floating_point() != tensor.is_floating_point()
    )
    if kinds:
        raise ValueError(f"{_listed(kinds)} hold another kind of number. Save the weights as floating point.")
    broken = tuple(
        name for name in expected if stored[name].is_floating_point() and not torch.isfinite(stored[name]).all()
    )
    if broken:
        raise ValueError(
            f"{_listed(broken)} hold values that are not finite. Name a file of a training that went well."
        )


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
