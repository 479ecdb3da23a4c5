"""One step of an optimizer for many networks at once, each by its own options, in place.

The formulas are those of PyTorch's fused optimizers. Options and steps have a number for each network, in the dimension
in which the other tensors have the networks, and 1 in the others.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from neurosearch.training.settings import OptimizerKind


def move(
    kind: OptimizerKind,
    weights: Tensor,
    gradients: Tensor,
    moments: Sequence[Tensor],
    steps: Tensor,
    options: Mapping[str, Tensor],
) -> None:
    """Take a step of an optimizer of this kind.

    Args:
        kind: Which one.
        weights: What is moved; changed.
        gradients: Its gradients.
        moments: What the optimizer keeps for each weight, as many as it keeps; changed.
        steps: Steps done, this one included.
        options: What it is told, in float64.
    """
    if kind == "sgd":
        descend(weights, gradients, moments, {name: option.to(weights.dtype) for name, option in options.items()})
    else:
        _adapt(weights, gradients, moments, steps, options, is_decoupled=kind == "adamw")


def descend(weights: Tensor, gradients: Tensor, moments: Sequence[Tensor], options: Mapping[str, Tensor]) -> None:
    """Take a step of gradient descent; see `move`.

    Args:
        weights: What is moved; changed.
        gradients: Its gradients.
        moments: The momentum buffer; empty for descent without one; changed.
        options: `lr`, `momentum`, and `weight_decay` unless nothing decays, in the type of the weights.
    """
    slope = gradients
    if "weight_decay" in options:
        slope = slope + options["weight_decay"] * weights
    if moments:
        slope = moments[0].mul_(options["momentum"]).add_(slope)
    weights.sub_(options["lr"] * slope)


def _adapt(
    weights: Tensor,
    gradients: Tensor,
    moments: Sequence[Tensor],
    steps: Tensor,
    options: Mapping[str, Tensor],
    *,
    is_decoupled: bool,
) -> None:
    """Take a step of Adam (arXiv:1412.6980), or of AdamW (arXiv:1711.05101), whose weights decay by themselves.

    What is a difference of numbers next to each other, as 1 - beta2 is, is computed in float64.
    """
    lr, decay, beta1, beta2 = (options[name] for name in ("lr", "weight_decay", "beta1", "beta2"))
    mean, square = moments
    steps, dtype = steps.to(torch.float64), weights.dtype
    size, share = lr / (1 - beta1**steps), (1 - beta2**steps).sqrt()
    if is_decoupled:
        weights.mul_((1 - lr * decay).to(dtype))
    else:
        gradients = gradients + decay.to(dtype) * weights
    mean.add_((1 - beta1).to(dtype) * (gradients - mean))
    square.mul_(beta2.to(dtype)).add_((1 - beta2).to(dtype) * gradients * gradients)
    weights.sub_(size.to(dtype) * (mean / (square.sqrt() / share.to(dtype) + options["eps"].to(dtype))))
