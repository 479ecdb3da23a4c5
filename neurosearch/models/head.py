"""The last layer of a classifier: found in any network, made a normalised one, shifted class by class.

Shape letters: b batch, f features, c classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineLinear(nn.Module):
    """Scale times the cosine between features and each class's weights, plus a shift.

    As the public code of LDAM-DRW has it (arXiv:1906.07413), but for the scale, which that code multiplies by in the
    loss. The weights start at length 1, in the direction they are given. The shift is not trained; it is 0 until a
    post-hoc adjustment is folded into it.
    """

    shift: Tensor

    def __init__(self, weight: Tensor, scale: float) -> None:
        """Take the weights `(c, f)`, which are copied, and the scale."""
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(F.normalize(weight.detach(), dim=1))
        self.register_buffer("shift", torch.zeros_like(self.weight[:, 0]))

    def forward(self, features: Tensor) -> Tensor:
        """Map `(b, f)` to `(b, c)`."""
        cosines = F.linear(F.normalize(features, dim=-1), F.normalize(self.weight, dim=-1))  # (b, c)
        return self.scale * cosines + self.shift


class Shifted(nn.Module):
    """A network whose own last layer has no bias, plus a shift of each output that is not trained."""

    shift: Tensor

    def __init__(self, network: nn.Module, num_outputs: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.zeros(num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map a batch to `(b, c)`."""
        outputs: Tensor = self.network(inputs) + self.shift
        return outputs


def with_cosine_head(network: nn.Module, example: Tensor, scale: float) -> nn.Module:
    """Return the network with a `CosineLinear` in the place of its last layer; it is changed in place.

    Args:
        network: Any classifier.
        example: One input, `(1, ...)`.
        scale: Of the cosines.

    Raises:
        ValueError: The network's output does not come straight from a linear layer.
    """
    name = output_layer(network, example)
    layer = None if name is None else network.get_submodule(name)
    if name is None or not isinstance(layer, nn.Linear):
        raise ValueError(
            "the network's outputs do not come straight from a linear layer, so there is none whose features and "
            "weights could be normalised. Choose another training.loss than ldam, or another model."
        )
    head = CosineLinear(layer.weight, scale)
    if name == "":
        return head
    network.set_submodule(name, head)
    return network


def with_output_bias(network: nn.Module, example: Tensor, num_outputs: int) -> nn.Module:
    """Return the network if its outputs have a bias of their own, else one that adds an untrained one of 0."""
    return network if _bias(network, example) is not None else Shifted(network, num_outputs)


def output_bias(network: nn.Module, example: Tensor) -> Tensor:
    """Return the bias of a network's outputs, `(c,)`: a parameter or a buffer, to be changed in place.

    Args:
        network: One that `with_output_bias` returned; it may have been trained since.
        example: One input, `(1, ...)`.
    """
    bias = _bias(network, example)
    assert bias is not None, "the network was built without a bias of its outputs"
    return bias


def _bias(network: nn.Module, example: Tensor) -> Tensor | None:
    name = output_layer(network, example)
    if name is None:
        return None
    layer = network.get_submodule(name)
    bias = layer.bias if isinstance(layer, nn.Linear) else layer.shift
    return bias if isinstance(bias, Tensor) else None


def output_layer(network: nn.Module, example: Tensor) -> str | None:
    """Return the name of the linear layer, or the shift, whose output is the network's; None if there is none.

    Found by one run: it is the one that gives the very tensor that the network gives.
    """
    given: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=name: given.update({name: output}))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | CosineLinear | Shifted)
    ]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()  # batch normalisation cannot train on one example, and must not learn from it
    try:
        with torch.no_grad():
            outputs = network(example)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return next((name for name, output in given.items() if output is outputs), None)
