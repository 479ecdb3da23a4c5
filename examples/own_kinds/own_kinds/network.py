"""The network: any module will do, and what of it neurosearch can follow has neurons that come and go."""

import torch
from torch import Tensor, nn


class TwoPaths(nn.Module):
    """Images (N, C, H, W) to logits (N, num_outputs)."""

    def __init__(self, channels: int, fine: int, coarse: int, num_outputs: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(channels, fine, 3, padding=1), nn.BatchNorm2d(fine), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(channels, coarse, 5, padding=2), nn.BatchNorm2d(coarse), nn.ReLU())
        self.head = nn.Linear(fine + coarse, num_outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        both = torch.cat([self.fine(images), self.coarse(images)], dim=1)  # (N, fine + coarse, H, W)
        logits: Tensor = self.head(both.amax(dim=(2, 3)))
        return logits
