"""A plain convolutional network with any widths.

Shape letters: b batch, c channels, h and w height and width of the image, o outputs.
"""

from dataclasses import dataclass

from torch import Tensor, nn

_SMALLEST_POOLED_SIDE = 4  # a side below this is not halved any more: 3x3 convolutions still need something to see


@dataclass(frozen=True)
class CnnShape:
    """What a `Cnn` is made of.

    Attributes:
        input_shape: `(c, h, w)` of one image.
        widths: Channels of each block, from the input on, at least one.
        num_outputs: Size of the output, such as the number of classes.
        dropout: Probability that a pooled feature is dropped before the last layer in training, in [0, 1).
    """

    input_shape: tuple[int, int, int]
    widths: tuple[int, ...]
    num_outputs: int
    dropout: float


class Cnn(nn.Module):
    """A block 3x3 convolution - batch norm - relu for each width, global average pooling, then linear.

    Every block but the last is followed by a 2x2 maximum pooling while both sides are still at least 4, so that the
    same widths fit any image size.

    Example:
        >>> Cnn(CnnShape((1, 28, 28), (16, 32), 10, 0.0))(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(self, shape: CnnShape) -> None:
        super().__init__()
        self.shape = shape
        num_channels, *sides = shape.input_shape
        blocks: list[nn.Module] = []
        for index, width in enumerate(shape.widths):
            is_last = index == len(shape.widths) - 1
            is_pooled = not is_last and min(sides) >= _SMALLEST_POOLED_SIDE
            blocks.append(_block(num_channels, width, is_pooled))
            num_channels = width
            sides = [side // 2 for side in sides] if is_pooled else sides
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(shape.dropout) if shape.dropout > 0 else nn.Identity()
        self.head = nn.Linear(num_channels, shape.num_outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to `(b, o)`."""
        features = self.flatten(self.pool(self.blocks(images)))  # (b, last width)
        outputs: Tensor = self.head(self.dropout(features))
        return outputs


def _block(num_inputs: int, width: int, is_pooled: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        # The batch norm that follows brings its own bias.
        nn.Conv2d(num_inputs, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    if is_pooled:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
