"""Losses for classification, plain and made for imbalanced classes, and losses for regression.

Shape letters: b batch, c classes, t targets. The first take logits `(b, c)` and labels `(b,)`, those for regression
outputs and standardised targets `(b, t)`; all return the scalar mean. Per-class vectors `(c,)` stand in buffers, in
float64 until they are moved to the network's device and type, so that no step converts them. Logits in bfloat16, as
autocast gives them, are taken in that type, or in single precision. n_c are training examples of class c, none of them
0, and pi_c their share of all.

Class weights, where a loss takes them, are those of `class_balanced_weights`; the weighted mean is divided by the sum
of the batch's weights. That is PyTorch's divisor, as in the public long-tail code (LDAM-DRW); the TensorFlow original
of arXiv:1901.05555 divides by the batch size, which gives other gradients.
"""

from collections.abc import Callable, Sequence
from math import pi
from typing import Literal, Protocol, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RegressionLossKind = Literal["mse", "mae", "huber"]
SmoothingShape = Literal["concave", "linear", "convex"]


class ClassLoss(Protocol):
    """A loss of classes, as `tasks.Classification` needs it; all of them are modules.

    Attributes:
        name: What it is called in messages.
    """

    name: str

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of logits `(b, c)` for labels `(b,)`."""

    def weight(self, labels: Tensor) -> Tensor:
        """Return what labels `(b,)` count for in the mean that the loss is: a scalar."""

    def to(self, device: torch.device, dtype: torch.dtype) -> object:
        """Move the buffers to the network's device and type."""


def class_balanced_weights(class_counts: Sequence[int], beta: float) -> Tensor:
    """Return one weight per class, float64 `(c,)`, that sums to the number of classes.

    w_c is proportional to (1 - beta) / (1 - beta^n_c), the inverse of the effective number of examples
    (arXiv:1901.05555, eq. 2 and section 4).
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    weights = (1 - beta) / (1 - beta**counts)
    return weights * (len(counts) / weights.sum())


def log_shares(class_counts: Sequence[int]) -> Tensor:
    """Return log pi, float64 `(c,)`."""
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return (counts / counts.sum()).log()


class CrossEntropy(nn.Module):
    """Mean over the batch of -log softmax(z)_y; with weights the class-balanced one (arXiv:1901.05555)."""

    weights: Tensor | None

    def __init__(self, name: str, weights: Tensor | None) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        return _cross_entropy(logits, labels, self.weights)

    def weight(self, labels: Tensor) -> Tensor:
        """Return the sum of the labels' weights, or their number."""
        return _total(labels, self.weights)


class Focal(nn.Module):
    """Mean of (1 - p)^gamma times the cross-entropy, p the softmax of the true class (arXiv:1708.02002, eq. 4).

    With weights it is their weighted mean. The public code of LDAM-DRW takes the weight into the probability, too
    (p = exp(-w CE)), which is not the paper's and not followed.
    """

    name = "focal"
    weights: Tensor | None

    def __init__(self, gamma: float, weights: Tensor | None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        entropy = F.cross_entropy(_single(logits), labels, reduction="none")
        # Kept above 0, which 1 - p is of an example right beyond rounding: powers below 1 have no slope there.
        missing = (-torch.expm1(-entropy)).clamp_min(torch.finfo(entropy.dtype).tiny)
        losses = missing**self.gamma * entropy
        if self.weights is None:
            return losses.mean()
        weights = self.weights[labels]
        return (weights * losses).sum() / weights.sum()

    def weight(self, labels: Tensor) -> Tensor:
        """Return the sum of the labels' weights, or their number."""
        return _total(labels, self.weights)


class ClassBalancedFocal(nn.Module):
    """Focal loss of one sigmoid per class, weighted by the true class (arXiv:1901.05555, section 4).

    The sum over the classes of w_y (1 - p_t)^gamma (-log p_t), p_t = sigmoid(z_c) for the true class and 1 -
    sigmoid(z_c) for the others; its mean is over the examples, as in the authors' code, and not over the weights.
    """

    name = "class_balanced_focal"
    weights: Tensor

    def __init__(self, gamma: float, weights: Tensor) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        logits = _single(logits)
        others = torch.ones_like(logits).scatter_(1, labels.unsqueeze(1), -1.0)  # (b, c), -1 at the true class
        wrongness = others * logits
        losses = (self.gamma * F.logsigmoid(wrongness)).exp() * F.softplus(wrongness)
        return (self.weights[labels] * losses.sum(1)).mean()

    def weight(self, labels: Tensor) -> Tensor:
        """Return the number of labels."""
        return _total(labels, None)


class Ldam(nn.Module):
    """Cross-entropy of s (cos - m_y at the true class), m_c proportional to n_c^(-1/4) (arXiv:1906.07413).

    Its logits are those of `models.head.CosineLinear`: cosines that are multiplied by s already.
    """

    name = "ldam"
    margins: Tensor
    weights: Tensor | None

    def __init__(self, class_counts: Sequence[int], max_margin: float, scale: float, weights: Tensor | None) -> None:
        super().__init__()
        roots = torch.tensor(class_counts, dtype=torch.float64) ** -0.25
        self.register_buffer("margins", scale * max_margin * roots / roots.max())  # in units of the logits
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        margins = -self.margins[labels].unsqueeze(1)  # (b, 1)
        moved = logits.to(margins.dtype).scatter_add(1, labels.unsqueeze(1), margins)
        return _cross_entropy(moved, labels, self.weights)

    def weight(self, labels: Tensor) -> Tensor:
        """Return the sum of the labels' weights, or their number."""
        return _total(labels, self.weights)


class LogitAdjustment(nn.Module):
    """Cross-entropy of z + tau log pi (arXiv:2007.07314, eq. 10); tau 1: balanced softmax (arXiv:2007.10740, eq. 4).

    The paper's code adds 1e-12 to pi^tau against empty classes, which there are none of here.
    """

    shifts: Tensor
    weights: Tensor | None

    def __init__(self, name: str, class_counts: Sequence[int], tau: float, weights: Tensor | None) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("shifts", tau * log_shares(class_counts))
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        return _cross_entropy(logits + self.shifts, labels, self.weights)

    def weight(self, labels: Tensor) -> Tensor:
        """Return the sum of the labels' weights, or their number."""
        return _total(labels, self.weights)


class VectorScaling(nn.Module):
    """Cross-entropy of (n_c / n_max)^gamma z_c + tau log pi_c (arXiv:2103.01550)."""

    name = "vs"
    factors: Tensor
    shifts: Tensor
    weights: Tensor | None

    def __init__(self, class_counts: Sequence[int], gamma: float, tau: float, weights: Tensor | None) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("factors", (counts / counts.max()) ** gamma)
        self.register_buffer("shifts", tau * log_shares(class_counts))
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        return _cross_entropy(torch.addcmul(self.shifts, self.factors, logits), labels, self.weights)

    def weight(self, labels: Tensor) -> Tensor:
        """Return the sum of the labels' weights, or their number."""
        return _total(labels, self.weights)


class LabelAwareSmoothing(nn.Module):
    """Cross-entropy with a share of each label spread evenly over all classes (MiSLAS, arXiv:2104.00466).

    The share e_c rises with the class's count from `tail` to `head`, by the shape's curve over (n_c - n_min) / (n_max -
    n_min); classes that all have the same count get `head`.
    """

    name = "label_aware_smoothing"
    shares: Tensor
    weights: Tensor | None

    def __init__(
        self, class_counts: Sequence[int], head: float, tail: float, shape: SmoothingShape, weights: Tensor | None
    ) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64)
        spread = counts.max() - counts.min()
        places = (counts - counts.min()) / spread if spread > 0 else torch.ones_like(counts)
        self.register_buffer("shares", tail + (head - tail) * _curve(places, shape))
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        logs = logits.to(self.shares.dtype).log_softmax(1)
        own = F.nll_loss(logs, labels, reduction="none")
        losses = torch.lerp(own, -logs.mean(1), self.shares[labels])
        if self.weights is None:
            return losses.mean()
        weights = self.weights[labels]
        return (weights * losses).sum() / weights.sum()

    def weight(self, labels: Tensor) -> Tensor:
        """Return the sum of the labels' weights, or their number."""
        return _total(labels, self.weights)


def _curve(places: Tensor, shape: SmoothingShape) -> Tensor:
    match shape:
        case "concave":
            return (places * pi / 2).sin()
        case "linear":
            return places
        case "convex":
            return 1 - (places * pi / 2).cos()
        case _:
            assert_never(shape)


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    logits = _single(logits) if weights is None else logits.to(weights.dtype)  # PyTorch refuses others than its own
    return F.cross_entropy(logits, labels, weight=weights)


def _single(logits: Tensor) -> Tensor:
    """Return logits in single precision where autocast has left fewer digits: a loss of these has two or three."""
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def _total(labels: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return labels.new_full((), len(labels), dtype=torch.float32)  # made where it is: nothing waits for the device
    return weights[labels].sum()


_REGRESSION_LOSSES: dict[RegressionLossKind, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}


class RegressionLoss(nn.Module):
    """Mean over batch and targets of the squared error, the absolute one, or Huber's, in standardised units.

    Huber's loss turns from squared to absolute where the error exceeds one standard deviation of the target (Huber
    1964, doi:10.1214/aoms/1177703732, with delta 1).
    """

    def __init__(self, kind: RegressionLossKind) -> None:
        super().__init__()
        self._loss = _REGRESSION_LOSSES[kind]

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the scalar loss; outputs in bfloat16 are compared in the targets' type."""
        return self._loss(outputs.to(targets.dtype), targets)
