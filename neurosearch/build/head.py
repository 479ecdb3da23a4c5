"""What a training asks of the last layer of its network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from neurosearch.config.losses import LdamFields
from neurosearch.config.training import TrainingFields
from neurosearch.models.head import with_cosine_head, with_output_bias


@dataclass(frozen=True)
class Head:
    """Changes of a network's last layer.

    Attributes:
        cosine_scale: Multiplier of the cosines where it becomes one over normalised features and weights; None if not.
        has_bias: Whether its outputs must have a bias, for a post-hoc adjustment to be folded into.
    """

    cosine_scale: float | None
    has_bias: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Head":
        """Rebuilds a head from `to_dict`."""
        return cls(**values)


PLAIN = Head(cosine_scale=None, has_bias=False)


def head_of(training: TrainingFields) -> Head:
    """Returns what a training section asks of the last layer."""
    loss = training.loss
    return Head(loss.scale if isinstance(loss, LdamFields) else None, training.posthoc_tau > 0)


def with_head(network: nn.Module, head: Head, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Returns the network with the last layer that is asked for; it may be changed in place.

    Raises:
        ValueError: If the network has no such layer.
    """
    if head == PLAIN:
        return network
    example = torch.zeros(1, *input_shape, device=next(network.parameters()).device)
    if head.cosine_scale is not None:
        network = with_cosine_head(network, example, head.cosine_scale)
    return with_output_bias(network, example, num_outputs) if head.has_bias else network
