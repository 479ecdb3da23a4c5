"""The gate that makes a network's size a trained number: pure functions of tensors.

Shape letters: n neurons of a group, w size weights.
"""

from math import pi

import torch
from torch import Tensor


def theta(distance: Tensor, width: float | Tensor) -> Tensor:
    """Return how far a gate is open: 0 up to 0, then sin^2(pi * distance / (2 * width)), 1 from `width` on.

    Its slope is exactly 0 from either end on: an optimizer that divides by the gradient's size, as Adam does, would
    make a whole step of the sine's rounding, and PyTorch's versions differ in the slope of `clamp` at its bounds.

    Source: arXiv:2501.18012, the auxiliary weight's step function theta; `width` is its dn.

    Args:
        distance: Any shape, in neurons.
        width: Width of the rise, in neurons, above 0; one for all or one for each distance.
    """
    is_rising = (distance > 0) & (distance < width)
    rise = torch.sin(distance * (pi / (2 * width))).square()
    return torch.where(is_rising, rise, (distance >= width).to(distance.dtype))


def theta_slope(distance: Tensor, width: float) -> Tensor:
    """Return the derivative of `theta` in its distance: pi / (2 * width) * sin(pi * distance / width), 0 at either end.

    Args:
        distance: Any shape, in neurons.
        width: See `theta`.
    """
    is_rising = (distance > 0) & (distance < width)
    slope = torch.sin(distance * (pi / width)) * (pi / (2 * width))
    return torch.where(is_rising, slope, torch.zeros_like(slope))


def bounded(size: Tensor, largest: float) -> Tensor:
    """Return a trained size, at most the largest one; the slope is 1 up to there and at it, 0 beyond."""
    return torch.where(size > largest, torch.full_like(size, largest), size)


def gate_values(size: Tensor, num_neurons: int, width: float) -> Tensor:
    """Return the gate of every neuron m = 1..n of a group whose trained size is N: theta(N - m + 1), shape `(n,)`.

    Neurons up to N - width + 1 are fully open, those from N + 1 on are shut; differentiable in `size`.

    Args:
        size: Scalar N, in neurons.
        num_neurons: n, neurons that the group really has.
        width: See `theta`.
    """
    numbers = torch.arange(1, num_neurons + 1, dtype=size.dtype, device=size.device)  # (n,)
    return theta(size - numbers + 1, width)


def size_loss(sizes: Tensor, target: Tensor | float, coefficient: float) -> Tensor:
    """Return coefficient * mean over the size weights of (size - target)^2, a scalar.

    Source: arXiv:2501.18012, the term lambda * (N - Ninf)^2; with sizes in shares of the base size, groups of any width
    weigh the same.

    Args:
        sizes: `(w,)`, trained sizes, in neurons or shares.
        target: The size that the loss pulls to, one for all or one for each.
        coefficient: The size coefficient, at least 0.
    """
    return coefficient * (sizes - target).square().mean()
