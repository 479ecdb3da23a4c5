"""What a raw example is and what preprocessing makes of it, without torch: the exported files carry it too.

Shape letters: F features, C channels, H and W height and width.
"""

from dataclasses import dataclass
from typing import Literal

from neurosearch.data.arrays import Layout


@dataclass(frozen=True)
class PreprocessSpec:
    """What a `Preprocess` is made of, besides its statistics.

    Attributes:
        layout: What the axes of a raw batch after the first mean.
        dtype: Of the raw values.
        raw_shape: Of one raw example, such as (32, 32, 3).
        scale: Divisor of the raw values, such as 255.
        resize: Height and width in pixels that images are brought to; None leaves them.
    """

    layout: Layout
    dtype: Literal["uint8", "float32"]
    raw_shape: tuple[int, ...]
    scale: float
    resize: tuple[int, int] | None

    @property
    def num_channels(self) -> int:
        """Return how many means and deviations there are: one per channel of an image, one per feature else."""
        match self.layout:
            case "features" | "CHW":
                return self.raw_shape[0]
            case "HW":
                return 1
            case "HWC":
                return self.raw_shape[2]

    @property
    def sides(self) -> tuple[int, int] | None:
        """Return height and width of a raw image, None for features."""
        match self.layout:
            case "features":
                return None
            case "HW" | "HWC":
                return self.raw_shape[0], self.raw_shape[1]
            case "CHW":
                return self.raw_shape[1], self.raw_shape[2]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one example as the network reads it: (F,) or (C, H, W) after resizing."""
        sides = self.resize or self.sides
        return (self.num_channels,) if sides is None else (self.num_channels, *sides)
