"""A multi-layer perceptron with any hidden widths.

Shape letters: b batch, f input features, w width of a hidden layer, o outputs.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal, assert_never

from torch import Tensor, nn

Activation = Literal["relu", "gelu", "tanh"]
Norm = Literal["none", "batch"]


@dataclass(frozen=True)
class MlpShape:
    """What an `Mlp` is made of.

    Attributes:
        input_shape: Shape of one example, such as `(64,)` or `(1, 8, 8)`; it is flattened.
        widths: Neurons of each hidden layer, from the input on; empty for a linear classifier.
        num_outputs: Size of the output, such as the number of classes.
        activation: Follows every hidden layer.
        norm: `batch` puts a batch normalisation between a hidden layer and its activation.
        dropout: Probability that a hidden neuron's output is dropped in training, in [0, 1).
    """

    input_shape: tuple[int, ...]
    widths: tuple[int, ...]
    num_outputs: int
    activation: Activation
    norm: Norm
    dropout: float


class Mlp(nn.Module):
    """Flatten, then linear - (norm) - activation - (dropout) for each width, then linear.

    Example:
        >>> Mlp(MlpShape((1, 8, 8), (32, 32), 10, "relu", "none", 0.0))(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(self, shape: MlpShape) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = [nn.Flatten()]
        num_inputs = prod(shape.input_shape)
        for width in shape.widths:
            layers += _hidden_layer(num_inputs, width, shape)
            num_inputs = width
        layers.append(nn.Linear(num_inputs, shape.num_outputs))
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map `(b, *input_shape)` to `(b, o)`."""
        outputs: Tensor = self.layers(inputs)
        return outputs


def _hidden_layer(num_inputs: int, width: int, shape: MlpShape) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Linear(num_inputs, width)]  # (b, w)
    if shape.norm == "batch":
        layers.append(nn.BatchNorm1d(width))
    layers.append(_activation(shape.activation))
    if shape.dropout > 0:
        layers.append(nn.Dropout(shape.dropout))
    return layers


def _activation(name: Activation) -> nn.Module:
    match name:
        case "relu":
            return nn.ReLU()
        case "gelu":
            return nn.GELU()
        case "tanh":
            return nn.Tanh()
        case _:
            assert_never(name)


def draw_uniform(network: nn.Module) -> None:
    """Draw every weight and bias of a network's linear layers anew, uniform in (-1, 1), from torch's global generator.

    Source: arXiv:2501.18012, where all weights of the growing and the grown network start so.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -1.0, 1.0)
            nn.init.uniform_(layer.bias, -1.0, 1.0)
