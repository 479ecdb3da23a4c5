"""Fields of the model section."""

from typing import Annotated, Literal

from pydantic import Field

from neurosearch.config.base import MAXIMUM_LAYERS, Count, Fields, Number

Widths = Annotated[tuple[Count, ...], Field(min_length=1, max_length=MAXIMUM_LAYERS)]
DropoutShare = Annotated[Number, Field(ge=0.0, lt=1.0)]


class ModelFields(Fields):
    """What every kind of model shares; one whose fields derive from this can start from pretrained weights."""

    weights: Annotated[str, Field(pattern=r"\.(safetensors|pt|pth)(#sha256=[0-9a-f]{64})?$")] | None = Field(
        None,
        description="File with the state dict that the network starts from (.safetensors, .pt or .pth), relative to "
        "the config file; a class head of another size starts anew",
    )


class MlpFields(ModelFields):
    """A multilayer perceptron over the flattened input."""

    kind: Literal["mlp"] = "mlp"
    widths: Widths = Field(description="Neurons of each hidden layer, input to output")
    activation: Literal["relu", "gelu", "tanh"] = Field("relu", description="Non-linearity of the hidden layers")
    norm: Literal["none", "batch"] = Field("none", description="Normalisation between a layer and its non-linearity")
    dropout: DropoutShare = Field(0.0, description="Share of hidden activations dropped while training")
    init: Literal["default", "uniform"] = Field(
        "default",
        description="default: PyTorch's initial weights; uniform: all weights and biases in (-1, 1), as published for "
        "growing networks (arXiv:2501.18012)",
    )


class CnnFields(ModelFields):
    """A plain convolutional network: 3x3 convolution, batch norm, ReLU per width; pooled while the image is large."""

    kind: Literal["cnn"] = "cnn"
    widths: Widths = Field(description="Channels of each convolution, input to output")
    dropout: DropoutShare = Field(0.0, description="Share of pooled features dropped while training")


class ResnetCifarFields(ModelFields):
    """The residual network for 32 x 32 images with parameter-free shortcuts; as it stands here, ResNet-32."""

    kind: Literal["resnet_cifar"] = "resnet_cifar"
    widths: Widths = Field(
        (16, 32, 64), description="Channels of the residual trunk in each stage; fixed, because the shortcut pads them"
    )
    inner_widths: Widths = Field(
        (16, 32, 64), description="Channels inside the blocks of each stage; these come and go"
    )
    num_blocks: Count = Field(5, description="Residual blocks in each stage")


class TorchvisionFields(ModelFields):
    """Any classification network of torchvision; without `weights` from scratch."""

    kind: Literal["torchvision"] = "torchvision"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        description="Name of the network as torchvision spells it, such as resnet18 or mobilenet_v2"
    )


class VitFields(ModelFields):
    """A vision transformer, torchvision's class; as it stands here, one for images of 32 x 32 pixels.

    The neurons of its blocks' inner layers come and go; the width that all blocks share stays, because layer
    normalisation takes its mean over it.
    """

    kind: Literal["vit"] = "vit"
    patch_size: Count = Field(4, description="Pixels of a patch's side; the image's side is a multiple of it")
    num_layers: Count = Field(6, description="Transformer blocks")
    num_heads: Count = Field(4, description="Attention heads of each block; hidden_dim is a multiple of it")
    hidden_dim: Count = Field(128, description="Width that all blocks share; fixed")
    mlp_dim: Count = Field(256, description="Neurons of each block's inner layer; these come and go")
    dropout: DropoutShare = Field(0.0, description="Share of activations dropped while training")
