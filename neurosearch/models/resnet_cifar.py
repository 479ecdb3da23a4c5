"""The residual network for 32 x 32 images (arXiv:1512.03385, section 4.2), as the long-tail literature uses it.

Shape letters: b batch, c channels, h and w height and width of the image, o outputs.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ResnetCifarShape:
    """What a `ResnetCifar` is made of.

    Attributes:
        input_shape: `(c, h, w)` of one image.
        widths: Channels of the residual trunk in each stage, from the input on, none narrower than the one before it.
        inner_widths: Channels between the two convolutions of a block, for each stage.
        num_blocks: Residual blocks of each stage; 5 in three stages make a ResNet-32.
        num_outputs: Size of the output, such as the number of classes.
    """

    input_shape: tuple[int, int, int]
    widths: tuple[int, ...]
    inner_widths: tuple[int, ...]
    num_blocks: int
    num_outputs: int


class ResnetCifar(nn.Module):
    """A 3x3 convolution, stages of basic blocks with parameter-free shortcuts, average pooling, one linear layer.

    With widths and inner widths 16, 32, 64 and 5 blocks it is the published ResNet-32: 464,154 parameters for 10
    classes. Where a stage begins, the shortcut takes every second pixel and pads zero channels on both sides (option
    A), which ties the trunk's channels to their positions; the inner widths are free.

    Example:
        >>> shape = ResnetCifarShape((3, 32, 32), (16, 32, 64), (16, 32, 64), 5, 10)
        >>> sum(parameter.numel() for parameter in ResnetCifar(shape).parameters())
        464154
    """

    def __init__(self, shape: ResnetCifarShape) -> None:
        super().__init__()
        self.shape = shape
        first = shape.widths[0]
        self.conv = nn.Conv2d(shape.input_shape[0], first, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(first)
        stages, num_inputs = [], first
        for index, (width, inner) in enumerate(zip(shape.widths, shape.inner_widths, strict=True)):
            stride = 1 if index == 0 else 2
            blocks = [BasicBlock(num_inputs, inner, width, stride)]
            blocks += [BasicBlock(width, inner, width, 1) for _ in range(shape.num_blocks - 1)]
            stages.append(nn.Sequential(*blocks))
            num_inputs = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(num_inputs, shape.num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)  # as the public long-tail code does (LDAM-DRW)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to `(b, o)`."""
        features = self.stages(F.relu(self.norm(self.conv(images))))
        outputs: Tensor = self.head(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return outputs


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut without parameters."""

    def __init__(self, num_inputs: int, inner: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, inner, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.stride = stride
        # On both sides alike, as published; an odd channel goes behind.
        self.padding = ((width - num_inputs) // 2, width - num_inputs - (width - num_inputs) // 2)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(b, num_inputs, h, w)` to `(b, width, h / stride, w / stride)`."""
        outputs = F.relu(self.norm1(self.conv1(images)))  # (b, inner, h / stride, w / stride)
        outputs = self.norm2(self.conv2(outputs))
        return F.relu(outputs + self._shortcut(images))

    def _shortcut(self, images: Tensor) -> Tensor:
        if self.stride == 1 and self.padding == (0, 0):
            return images
        every_second = images[:, :, :: self.stride, :: self.stride]
        return F.pad(every_second, (0, 0, 0, 0, *self.padding))
