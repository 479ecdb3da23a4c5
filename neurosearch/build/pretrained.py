"""Pretrained weights: the file that a model section names, read without unpickling objects and put into the network."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from neurosearch.config.base import Fields
from neurosearch.config.kinds import kinds
from neurosearch.config.model import ModelFields
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.config.weights import split_pin
from neurosearch.models.head import Shifted
from neurosearch.models.pretrained import Fit, fit, load, strip_prefix

#: Where training scripts put the state dict beside an optimizer's, an epoch and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")


def load_pretrained(network: nn.Module, model: Fields, input_shape: tuple[int, ...], num_outputs: int) -> Fit | None:
    """Puts the weights of the file that a model section names into its network; a network on meta only gets compared.

    Args:
        network: Built from the section; changed in place.
        model: The section.
        input_shape: Of one example.
        num_outputs: Size of the network's output.

    Returns:
        What fitted and what did not; None if the section names no file.

    Raises:
        ValueError: If the file cannot be read, is not the one the study was made with, or does not fit.
    """
    if not isinstance(model, ModelFields) or model.weights is None:
        return None
    path, digest = split_pin(model.weights)
    network = network.network if isinstance(network, Shifted) else network
    try:
        own = network.state_dict()
        stored = strip_prefix(own, read_weights(Path(path), digest))
        found = fit(own, _head(network, model, input_shape, num_outputs), stored)
    except ValueError as error:
        raise ValueError(f"model.weights: {path}: {error}") from error
    if not any(tensor.is_meta for tensor in own.values()):
        load(network, stored, found)
    return found


def without_weights(config: TrialConfig) -> TrialConfig:
    """Returns the config of the same network without its pretrained weights: for one whose weights come with it."""
    if not isinstance(config.model, ModelFields):
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": None})})


def read_weights(path: Path, digest: str | None) -> dict[str, Tensor]:
    """Returns the state dict in a file of safetensors or of `torch.save`; objects in the latter are never unpickled.

    Args:
        path: The file.
        digest: sha256 that its content must have; None for any.

    Raises:
        ValueError: If there is no such file, it has another content, or holds no state dict.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}. Put it back, or name another.") from error
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(
            "its content has changed since the study was made. Put the old file back, or begin a new study."
        )
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(content)
        return _state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except UnpicklingError as error:
        raise ValueError(
            "it holds objects, which are never unpickled, or is no file of torch.save. Save the weights alone: "
            "torch.save(model.state_dict(), path)."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, KeyError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"it is damaged or of another format ({reason}). Save the weights again.") from error


def _state_dict(stored: Any) -> dict[str, Tensor]:
    candidates = [stored, *(stored.get(key) for key in _WRAPPERS)] if isinstance(stored, Mapping) else []
    for each in candidates:
        if isinstance(each, Mapping) and each and all(map(_is_plain, each.values())):
            return {str(name): value for name, value in each.items()}
    raise ValueError("it holds no state dict. Save the weights alone: torch.save(model.state_dict(), path).")


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def _head(network: nn.Module, model: Fields, input_shape: tuple[int, ...], num_outputs: int) -> set[str]:
    """Returns the names of the tensors whose shape changes with the number of outputs."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        other: nn.Module = kinds("models")[kind_of(model)].build(model, input_shape, num_outputs + 1)
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    return {name for name, tensor in network.state_dict().items() if shapes.get(name) != tensor.shape}
