"""A multilayer perceptron as a chain of layers, which is what a stack of them computes.

Beside it the refusal that says which field keeps a training out of a pack.
"""

from dataclasses import dataclass, replace

from torch import nn

from neurosearch.growth.nimble import NimblePolicy
from neurosearch.models.mlp import Mlp
from neurosearch.training.trainer import Trainer

_ACTIVATIONS = {nn.ReLU: "relu", nn.GELU: "gelu", nn.Tanh: "tanh"}


class NotPackable(ValueError):
    """A training cannot take its steps together with others.

    Attributes:
        field: Which field of its config is in the way.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


@dataclass(frozen=True)
class Link:
    """One linear layer with what follows it.

    Attributes:
        linear: The layer.
        name: Its name, which is that of its neurons' group, too.
        norm: Batch normalisation behind it; None for none.
        activation: `relu`, `gelu` or `tanh`; empty behind the last layer.
        dropout: Share of its outputs that is dropped in training; None where there is no such layer.
    """

    linear: nn.Linear
    name: str
    norm: nn.BatchNorm1d | None
    activation: str
    dropout: float | None


def is_chain(model: nn.Module) -> bool:
    """Say whether a network is a perceptron of our own."""
    return type(model) is Mlp


def chain_of(model: nn.Module) -> tuple[Link, ...]:
    """Return the layers of an `Mlp` as they are now, from the input on.

    Raises:
        NotPackable: Its last layer is no plain one.
    """
    assert isinstance(model, Mlp)
    links: list[Link] = []
    for name, layer in model.layers.named_children():
        match layer:
            case nn.Linear():
                links.append(Link(layer, f"layers.{name}", None, "", None))
            case nn.BatchNorm1d():
                links[-1] = replace(links[-1], norm=layer)
            case nn.Dropout():
                links[-1] = replace(links[-1], dropout=layer.p)
            case nn.ReLU() | nn.GELU() | nn.Tanh():
                links[-1] = replace(links[-1], activation=_ACTIVATIONS[type(layer)])
            case nn.Flatten():
                pass
            case _:
                raise NotPackable("training.loss", f"its last layer is a {type(layer).__name__}")
    return tuple(links)


def check_packable(trainer: Trainer) -> None:
    """Check that a training's steps can be taken together with those of others.

    Raises:
        NotPackable: They cannot.
    """
    if is_chain(trainer.model):
        chain_of(trainer.model)
    else:
        _check_callable(trainer)
    if trainer.special is not None:
        raise NotPackable(trainer.special, "with it a step does more than those of a pack")
    if trainer.policy.trained() and is_chain(trainer.model) and not isinstance(trainer.policy, NimblePolicy):
        raise NotPackable("growth.control", "the published mask is one gain for a whole layer")


def _check_callable(trainer: Trainer) -> None:
    """Check that the forward passes of networks of this kind can be called together."""
    if trainer.policy.trained():
        raise NotPackable("growth.kind", "trained sizes share a step in perceptrons alone")
    if any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in trainer.model.modules()):
        raise NotPackable("model.dropout", "networks with dropout share a step if they are perceptrons")
    if trainer.settings.channels_last:
        raise NotPackable("training.channels_last", "a pack has a memory order of its own")
