"""Our kinds of models: their fields, and how a network comes of them.

Importing this module imports no torch: `check` reads the fields of every kind.
"""

from math import ceil
from typing import TYPE_CHECKING

from neurosearch.config.kinds import Kind
from neurosearch.config.model import CnnFields, MlpFields

if TYPE_CHECKING:
    from torch import nn


def build_mlp(fields: MlpFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds an MLP for examples of `input_shape`."""
    from neurosearch.models.mlp import Mlp, MlpShape

    return Mlp(MlpShape(input_shape, fields.widths, num_outputs, fields.activation, fields.norm, fields.dropout))


def build_cnn(fields: CnnFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Builds a convolutional network for images.

    Raises:
        ValueError: If the examples are not images.
    """
    from neurosearch.models.cnn import Cnn, CnnShape

    if len(input_shape) != 3:
        raise ValueError(
            f"model.kind: cnn needs images (channels, height, width), but one example has shape {input_shape}. "
            "Choose model.kind: mlp, or data.layout: HW, HWC or CHW."
        )
    return Cnn(CnnShape(input_shape, fields.widths, num_outputs, fields.dropout))


def scale_widths(fields: MlpFields | CnnFields, factor: float) -> MlpFields | CnnFields:
    """Returns the fields of a network of the same family whose every width is `factor` times as large, rounded up."""
    widths = tuple(max(1, ceil(width * factor)) for width in fields.widths)
    return type(fields).model_validate({**fields.model_dump(), "widths": widths})


MLP = Kind(MlpFields, build_mlp, scale=scale_widths)
CNN = Kind(CnnFields, build_cnn, scale=scale_widths)
