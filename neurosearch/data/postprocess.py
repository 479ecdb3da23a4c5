"""From a network's outputs to what a user reads: one module, inside the exported graph.

Shape letters: N batch, T targets.
"""

import torch
from torch import Tensor, nn

from neurosearch.data.targets import TargetScaling


class Unscale(nn.Module):
    """Bring standardised quantities back to the user's units: y = outputs * std + mean.

    Mean and deviation are buffers, as those of the preprocessing are.

    Args:
        scaling: How the targets were standardised.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, scaling: TargetScaling) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(scaling.mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(scaling.std, dtype=torch.float32))

    def forward(self, outputs: Tensor) -> Tensor:
        """Map standardised outputs to the user's units, both (N, T)."""
        return outputs * self.std + self.mean


def build_postprocess(scaling: TargetScaling | None) -> nn.Module:
    """Return what undoes the scaling of the targets; without one, what leaves logits as they are."""
    return nn.Identity() if scaling is None else Unscale(scaling)
