"""From a raw batch as stored to what a network reads: one module, used to prepare arrays and inside the exported graph.

Shape letters: N batch, F features, C channels, H and W height and width of the raw image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurosearch.data.spec import PreprocessSpec


class Preprocess(nn.Module):
    """Scale, bring the channels to the front, resize, subtract the mean, divide by the standard deviation.

    Resizing is bilinear with antialiasing and comes before the normalisation, so that mean and deviation describe what
    the network reads. Mean and deviation are buffers: they travel with the state dict, and no optimizer sees them.

    Args:
        spec: Layout, dtype, scale and size.
        mean: (C,) or (F,), of the scaled values of the training part.
        std: As `mean`, nowhere 0.

    Example:
        >>> spec = PreprocessSpec("HWC", "uint8", (32, 32, 3), 255.0, None)
        >>> preprocess = Preprocess(spec, torch.full((3,), 0.5), torch.full((3,), 0.25))
        >>> preprocess(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape
        torch.Size([2, 3, 32, 32])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: PreprocessSpec, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        assert mean.shape == std.shape == (spec.num_channels,)
        shape = (-1,) if spec.layout == "features" else (-1, 1, 1)
        self.spec = spec
        self.register_buffer("mean", mean.to(torch.float32).reshape(shape))
        self.register_buffer("std", std.to(torch.float32).reshape(shape))

    def arrange(self, raw: Tensor) -> Tensor:
        """Map a raw batch to scaled float32 of the network's shape, not yet normalised: (N, F) or (N, C, H, W)."""
        values = raw.to(torch.float32) / self.spec.scale
        if self.spec.layout == "HW":
            values = values.unsqueeze(1)  # (N, 1, H, W)
        elif self.spec.layout == "HWC":
            values = values.permute(0, 3, 1, 2)  # (N, C, H, W)
        if self.spec.resize is not None and self.spec.resize != self.spec.sides:
            values = F.interpolate(values, self.spec.resize, mode="bilinear", antialias=True, align_corners=False)
        return values

    def forward(self, raw: Tensor) -> Tensor:
        """Map a raw batch to normalised float32: (N, F) or (N, C, H, W)."""
        return (self.arrange(raw) - self.mean) / self.std


class Moments:
    """Mean and standard deviation per channel or feature of batches seen one after the other, in float64.

    Values are shifted by the first batch's mean before squares are summed, or a large mean would eat the variance.
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift = torch.zeros(())
        self._sum = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Take in a batch (N, F) or (N, C, H, W)."""
        rows = values.to(torch.float64).transpose(0, 1).flatten(1)  # (C, values per channel)
        if self._count == 0:
            self._shift = rows.mean(1)
            self._sum, self._squares = torch.zeros_like(self._shift), torch.zeros_like(self._shift)
        rows = rows - self._shift[:, None]
        self._count += rows.shape[1]
        self._sum += rows.sum(1)
        self._squares += rows.square().sum(1)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (divisor n); where nothing varies the deviation is 1, so outputs are 0."""
        offset = self._sum / self._count
        std = (self._squares / self._count - offset.square()).clamp_min(0).sqrt()
        mean = self._shift + offset
        constant = std <= mean.abs() * 1e-7  # below float32's resolution only rounding varies
        return mean, torch.where(constant, 1.0, std)
