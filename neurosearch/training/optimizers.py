"""The optimizer of a training, in its fused form, and its learning rate between epochs."""

from collections.abc import Iterable
from typing import Any, assert_never

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from neurosearch.training.schedule import learning_rate_factor
from neurosearch.training.settings import TrainingSettings

_FULL_RATE = "full_learning_rate"  # key in a parameter group: its learning rate before the schedule's factor


def make_optimizer(
    settings: TrainingSettings,
    parameters: Iterable[nn.Parameter],
    size_weights: Iterable[nn.Parameter],
    size_options: dict[str, float],
) -> Optimizer:
    """Return an optimizer with one group for the network and, if sizes are trained, one for the size weights.

    Args:
        settings: Kind and options of the network's group.
        parameters: The network's parameters.
        size_weights: The policy's size weights; may be empty.
        size_options: Options of their group that differ from the network's.
    """
    groups: list[dict[str, Any]] = [{"params": list(parameters)}]
    if sizes := list(size_weights):
        groups.append({"params": sizes, **size_options})
    optimizer = _make(settings, groups)
    for group in optimizer.param_groups:
        group[_FULL_RATE] = group["lr"]
    return optimizer


def set_learning_rate(optimizer: Optimizer, settings: TrainingSettings, epoch: int) -> None:
    """Set the learning rate of every group for epoch `epoch`, counted from 0."""
    factor = learning_rate_factor(settings, epoch)
    for group in optimizer.param_groups:
        group["lr"] = group[_FULL_RATE] * factor


def _make(settings: TrainingSettings, groups: list[dict[str, Any]]) -> Optimizer:
    rate, decay, momentum = settings.learning_rate, settings.weight_decay, settings.momentum
    match settings.optimizer:
        case "sgd":
            return SGD(groups, lr=rate, momentum=momentum, weight_decay=decay, fused=True)
        case "adam":
            return Adam(groups, lr=rate, betas=(momentum, 0.999), weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(groups, lr=rate, betas=(momentum, 0.999), weight_decay=decay, fused=True)
        case _:
            assert_never(settings.optimizer)
