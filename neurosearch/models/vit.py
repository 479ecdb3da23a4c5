"""A vision transformer of any size: torchvision's class (arXiv:2010.11929)."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class VitShape:
    """What a vision transformer is made of.

    Attributes:
        input_shape: Of one example, (3, side, side).
        patch_size: Pixels of a patch's side.
        num_layers: Transformer blocks.
        num_heads: Attention heads of each block.
        hidden_dim: Width that all blocks share.
        mlp_dim: Neurons of each block's inner layer.
        num_outputs: Number of classes, or of targets.
        dropout: Share of activations dropped while training.
    """

    input_shape: tuple[int, int, int]
    patch_size: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    mlp_dim: int
    num_outputs: int
    dropout: float


def build_vit(shape: VitShape) -> nn.Module:
    """Build the network; its weights come from torch's generator, those of the head are 0 as torchvision has it.

    Raises:
        ValueError: The images are no squares of three channels, or no whole number of patches fits.
    """
    from torchvision.models import VisionTransformer  # the one function here that needs it

    channels, height, width = shape.input_shape
    if channels != 3 or height != width or height % shape.patch_size:
        colour = "Repeat the grey channel three times" if channels == 1 else "Keep three channels"
        remedy = "Change model.patch_size or data.resize" if channels == 3 else f"{colour} in the data"
        number = f"{channels} channel{'s' if channels > 1 else ''}"
        raise ValueError(
            f"model.kind: vit reads square colour images with sides of a multiple of patch_size {shape.patch_size}, "
            f"but one example has {height} x {width} pixels in {number}. {remedy}, or "
            "choose another kind of model."
        )
    model: nn.Module = VisionTransformer(
        image_size=height,
        patch_size=shape.patch_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        hidden_dim=shape.hidden_dim,
        mlp_dim=shape.mlp_dim,
        dropout=shape.dropout,
        num_classes=shape.num_outputs,
    )
    return model
