"""Our kinds of models: their fields, and how a network comes of them.

Importing this module imports no torch: `check` reads the fields of every kind.
"""

from math import ceil
from typing import TYPE_CHECKING

from neurosearch.config.kinds import Kind
from neurosearch.config.model import CnnFields, MlpFields, ResnetCifarFields, TorchvisionFields, VitFields
from neurosearch.config.rules import batch_norm_has_two_examples, resnet_stages_fit, vit_heads_fit

if TYPE_CHECKING:
    from torch import nn


def build_mlp(fields: MlpFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds an MLP for examples of `input_shape`."""
    from neurosearch.models.mlp import Mlp, MlpShape, draw_uniform

    network = Mlp(MlpShape(input_shape, fields.widths, num_outputs, fields.activation, fields.norm, fields.dropout))
    if fields.init == "uniform":
        draw_uniform(network)
    return network


def build_cnn(fields: CnnFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds a convolutional network for images.

    Raises:
        ValueError: If the examples are not images.
    """
    from neurosearch.models.cnn import Cnn, CnnShape

    return Cnn(CnnShape(_image_shape(input_shape, "cnn"), fields.widths, num_outputs, fields.dropout))


def build_resnet_cifar(fields: ResnetCifarFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds the residual network for small images. Raises as `build_cnn` does."""
    from neurosearch.models.resnet_cifar import ResnetCifar, ResnetCifarShape

    shape = _image_shape(input_shape, "resnet_cifar")
    return ResnetCifar(ResnetCifarShape(shape, fields.widths, fields.inner_widths, fields.num_blocks, num_outputs))


def build_torchvision(fields: TorchvisionFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds a classification network of torchvision.

    Raises:
        ValueError: If torchvision has no such network, or the examples are not colour images of a size that it reads.
    """
    from neurosearch.models.torchvision import build_classifier, require_readable

    shape = _image_shape(input_shape, "torchvision")
    num_channels = shape[0]
    if num_channels != 3:
        raise ValueError(
            f"model.kind: torchvision reads colour images, but one example has {num_channels} channels. "
            "Choose model.kind: cnn or resnet_cifar, or repeat the channel three times in the data."
        )
    network = build_classifier(fields.name, num_outputs)
    require_readable(network, fields.name, shape)
    return network


def build_vit(fields: VitFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds a vision transformer.

    Raises:
        ValueError: If the examples are not square colour images of whole patches.
    """
    from neurosearch.models.vit import VitShape
    from neurosearch.models.vit import build_vit as build

    sizes = fields.model_dump(exclude={"kind", "weights"})
    return build(VitShape(input_shape=_image_shape(input_shape, "vit"), num_outputs=num_outputs, **sizes))


def _image_shape(input_shape: tuple[int, ...], kind: str) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise ValueError(
            f"model.kind: {kind} needs images (channels, height, width), but one example has shape {input_shape}. "
            "Choose model.kind: mlp, or data.layout: HW, HWC or CHW."
        )
    return input_shape


def scale_widths(fields: MlpFields | CnnFields, factor: float) -> MlpFields | CnnFields:
    """Returns the fields of a network of the same family whose every width is `factor` times as large, rounded up."""
    widths = tuple(max(1, ceil(width * factor)) for width in fields.widths)
    return type(fields).model_validate({**fields.model_dump(), "widths": widths})


def scale_stages(fields: ResnetCifarFields, factor: float) -> ResnetCifarFields:
    """Returns the fields of a residual network whose every width is `factor` times as large, rounded up."""
    widths, inner_widths = (
        tuple(max(1, ceil(width * factor)) for width in each) for each in (fields.widths, fields.inner_widths)
    )
    return ResnetCifarFields.model_validate({**fields.model_dump(), "widths": widths, "inner_widths": inner_widths})


def scale_vit(fields: VitFields, factor: float) -> VitFields:
    """Returns the fields of a transformer whose every width is `factor` times as large, up to whole heads."""
    hidden_dim = fields.num_heads * max(1, ceil(fields.hidden_dim * factor / fields.num_heads))
    scaled = {"hidden_dim": hidden_dim, "mlp_dim": max(1, ceil(fields.mlp_dim * factor))}
    return VitFields.model_validate({**fields.model_dump(), **scaled})


MLP = Kind(MlpFields, build_mlp, rules=(batch_norm_has_two_examples,), scale=scale_widths)
CNN = Kind(CnnFields, build_cnn, scale=scale_widths)
RESNET_CIFAR = Kind(ResnetCifarFields, build_resnet_cifar, rules=(resnet_stages_fit,), scale=scale_stages)
TORCHVISION = Kind(TorchvisionFields, build_torchvision)
VIT = Kind(VitFields, build_vit, rules=(vit_heads_fit,), scale=scale_vit)
