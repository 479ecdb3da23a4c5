"""Draws the class head anew, again and again, while the network trains ("zapping", arXiv:2507.01559).

The paper, and arXiv:2310.07996 before it, draw the last layer anew again and again while a network is first trained, so
that the layers before it must serve any head; such networks recover faster when they are moved to new classes. Our
reading for long tails: the head, which is where the frequent classes' bias sits, is drawn anew every few epochs up to a
share of the training, and the rest of the training ends with it as it then learns. The optimizer's moments of the head
are set to 0 with it; the paper compares optimizers and does not fix this.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neurosearch.epochs import epochs_within
from neurosearch.training.second_stage import draw_anew


@dataclass(frozen=True)
class Zapping:
    """When the class head is drawn anew.

    Attributes:
        period_epochs: Epochs from one time to the next; the first comes after so many epochs.
        stop_share: Share of the training's epochs after which the head stays.
    """

    period_epochs: int
    stop_share: float

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Say whether it happens after so many whole epochs of a training."""
        return 0 < epoch <= epochs_within(self.stop_share, epochs) and epoch % self.period_epochs == 0


def zap(head: nn.Linear, optimizer: Optimizer, seed: int) -> None:
    """Draw the layer's weights as PyTorch does and set the optimizer's moments of them to 0; both in place.

    Args:
        head: The layer.
        optimizer: Holds its parameters.
        seed: Decides the weights, the same on every device and in every process.
    """
    draw_anew(head, seed)
    with torch.no_grad():
        for parameter in head.parameters():
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.zero_()
