"""Random crops and flips of whole batches of images, where the images are: the recipe of the CIFAR literature.

Shape letters: n images, b images of a batch, c channels, h and w height and width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What happens to an image before it is trained on.

    Attributes:
        crop_padding: Pixels added on every side before a piece of the old size is cut out at a random place.
        flip: Whether half of the images are mirrored, left to right.
        fill: Value of the added pixels in each channel: what a black pixel becomes when it is normalised, because the
            published recipe pads first and normalises then.
    """

    crop_padding: int
    flip: bool
    fill: tuple[float, ...]


class Augmenter:
    """Cuts and flips batches of images; one gather for all images of a batch."""

    def __init__(self, augmentation: Augmentation, height: int, width: int, device: torch.device) -> None:
        """Take what to do, and the size of the images on `device`."""
        self._augmentation = augmentation
        self._fill = torch.tensor(augmentation.fill, device=device).view(1, -1, 1, 1)
        self._rows = torch.arange(height, device=device)
        self._columns = torch.arange(width, device=device)
        self._flipped = torch.arange(width - 1, -1, -1, device=device)

    def draw(self, num_images: int, seed: int) -> Tensor:
        """Return what shall happen to each image, int64 `(n, 3)` on the CPU: row and column of the cut, and the flip.

        Drawn on the CPU whatever the device, so that it is the same on all.
        """
        generator = torch.Generator().manual_seed(seed)
        cuts = torch.randint(0, 2 * self._augmentation.crop_padding + 1, (num_images, 2), generator=generator)
        flips = torch.randint(0, 2, (num_images, 1), generator=generator)
        return torch.cat([cuts, flips if self._augmentation.flip else torch.zeros_like(flips)], dim=1)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Return the images `(b, c, h, w)`, cut and flipped as drawn for them, `(b, 3)` on their device."""
        padded = self._padded(images)
        rows = drawn[:, :1] + self._rows  # (b, h)
        columns = drawn[:, 1:2] + torch.where(drawn[:, 2:] == 1, self._flipped, self._columns)  # (b, w)
        places = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # (b, h, w)
        index = places.flatten(1)[:, None].expand(-1, images.shape[1], -1)  # (b, c, h * w)
        return padded.flatten(2).gather(2, index).view(images.shape)

    def _padded(self, images: Tensor) -> Tensor:
        padding, (height, width) = self._augmentation.crop_padding, images.shape[2:]
        if padding == 0:
            return images
        shape = (*images.shape[:2], height + 2 * padding, width + 2 * padding)
        padded = self._fill.expand(shape).contiguous()
        padded[:, :, padding:-padding, padding:-padding] = images
        return padded
