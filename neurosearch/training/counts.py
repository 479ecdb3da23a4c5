"""How large a network is: neurons, parameters, and multiply-adds of one forward pass of one example."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from neurosearch import names
from neurosearch.models.mlp import Mlp
from neurosearch.neurons import Units

_LAYERS_OF_MLP = {nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.GELU, nn.Tanh, nn.Dropout}
PASSES_PER_STEP = 3  # of training: forward, and a backward pass of about twice its cost


class SizeCounter:
    """Counts a network whose sizes change, once per combination of sizes."""

    def __init__(self, model: nn.Module, example_inputs: Sequence[Tensor]) -> None:
        """Take the network and inputs like those it is traced with; their first example is used."""
        self._model = model
        self._inputs = tuple(inputs[:1] for inputs in example_inputs)
        self._known: dict[tuple[int, ...], dict[str, float]] = {}

    def count(self, units: Units) -> dict[str, float]:
        """Return neurons (also per group), parameters and multiply-adds, under their metric names.

        The network must have the sizes that `units` says.
        """
        key = tuple(group.size for group in units.groups)
        if key not in self._known:
            self._known[key] = self._count(units)
        return self._known[key]

    def _count(self, units: Units) -> dict[str, float]:
        counts = {names.NEURONS_PREFIX + group.name: float(group.size) for group in units.groups}
        counts[names.NEURONS] = sum(counts.values())
        counts[names.PARAMETERS] = float(sum(parameter.numel() for parameter in self._model.parameters()))
        counts[names.MULTIPLY_ADDS] = float(count_multiply_adds(self._model, self._inputs))
        return counts


def count_multiply_adds(model: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Return the multiply-adds of the matrix products and convolutions of one forward pass; nothing else is counted.

    Those of a plain perceptron are read off its layers: to run it under a counter takes as long as a growth event does.
    """
    if type(model) is Mlp and all(type(layer) in _LAYERS_OF_MLP for layer in model.layers):
        layers = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
        return inputs[0].size(0) * sum(layer.in_features * layer.out_features for layer in layers)
    was_training = model.training
    model.eval()  # batch normalisation cannot train on one example, and must not learn from it
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
