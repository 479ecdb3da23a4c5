"""The published growing networks, many of them at once: outputs, losses and gradients in closed form.

One hidden layer of tanh neurons, a scalar input and a scalar output. The size is a trained weight, an input of every
neuron, and it opens their gates:

    output = output_bias + sum over m of output[m] * gate[m] * tanh(hidden_bias[m] + size * size_column[m]
                                                                    + input * input_column[m])

Two networks of arXiv:2501.18012 have this form. The auxiliary weight: the gate is theta(size - m + 1), and the size
learns from the task and from lambda * (size - final size)^2. The controller mask as its code computes it: the gate is
one gain sin^2(pi * size / 2) for all neurons, and the size learns from its own loss alone.

Networks do not know each other. They lie in the last dimension, where a vector instruction serves one network in each
of its lanes, so that sums run in the same order however many networks there are.

Shape letters: n neurons, e examples, t networks.
"""

from collections.abc import Callable
from math import pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from neurosearch.growth.gate import theta, theta_slope


class Weights(NamedTuple):
    """All that is trained, or a gradient of it.

    Attributes:
        size: `(t,)`, N or the controller's value.
        size_column: `(n, t)`, weight of the size at each neuron.
        input_column: `(n, t)`, weight of the input.
        hidden_bias: `(n, t)`.
        output: `(n, t)`, weight of each neuron at the output.
        output_bias: `(t,)`.
    """

    size: Tensor
    size_column: Tensor
    input_column: Tensor
    hidden_bias: Tensor
    output: Tensor
    output_bias: Tensor


class Examples(NamedTuple):
    """What each network learns from; inputs and targets are `(e, t)`."""

    inputs: Tensor
    targets: Tensor


class Task(NamedTuple):
    """What the outputs `(e, t)` are for: their loss `(t,)` and its derivative in the outputs, given the targets."""

    loss: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]


class SizeTerm(NamedTuple):
    """The loss of the size: coefficient * (size - final)^2, each `(t,)`; a coefficient is at least 0."""

    coefficient: Tensor
    final: Tensor


def auxiliary_gates(size: Tensor, num_neurons: int, width: float) -> tuple[Tensor, Tensor]:
    """Return theta(size - m + 1) for m = 1..n and its derivative in the size, both `(n, t)`.

    Source: arXiv:2501.18012, the authors' Mathematica notebooks.
    """
    passed = torch.arange(num_neurons, dtype=size.dtype, device=size.device)[:, None]  # (n, 1)
    distance = size - passed  # (n, t)
    return theta(distance, width), theta_slope(distance, width)


def controller_mask(control: Tensor, num_neurons: int) -> Tensor:
    """Return the mask `(n, t)` of controllers `(t,)`: the first floor(f * n) entries 1, the next the rest of f * n.

    f = sin^2(pi * control / 2). The published code calls it with n = 1 for every hidden layer, whatever its width: the
    mask is f itself, one gain for the whole layer, and no neuron is added or taken away.

    Source: arXiv:2501.18012, the authors' repository N3, `control_to_mask`, whose docstring says sigmoid.
    """
    share = torch.sin(control * (pi / 2)).square()
    passed = torch.arange(num_neurons, dtype=control.dtype, device=control.device)[:, None]  # (n, 1)
    return (share * num_neurons - passed).clamp(0.0, 1.0)


def outputs(weights: Weights, gates: Tensor, inputs: Tensor) -> Tensor:
    """Return the outputs `(e, t)` of networks whose gates are `(n, t)`, or `(1, t)` for one gain."""
    return _outputs(weights, gates, _hidden(weights, inputs))


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean(0)


def _squared_error_slope(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets) * (2 / outputs.shape[0])


def _logistic(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(0)


def _logistic_slope(outputs: Tensor, targets: Tensor) -> Tensor:
    return (torch.sigmoid(outputs) - targets) * (1 / outputs.shape[0])


SQUARES = Task(_squared_error, _squared_error_slope)
TWO_CLASSES = Task(_logistic, _logistic_slope)  # an output is the logit of class 1, targets are 0 or 1


def size_loss(size: Tensor, term: SizeTerm) -> Tensor:
    """Return the loss of each size, `(t,)`."""
    return term.coefficient * (size - term.final).square()


def auxiliary_gradients(weights: Weights, examples: Examples, term: SizeTerm, width: float, task: Task) -> Weights:
    """Return the gradient of task loss plus size loss of networks with the auxiliary weight.

    The size is reached three ways: through the gates, through the input of every neuron, and by its own loss.
    """
    gates, slopes = auxiliary_gates(weights.size, weights.output.shape[0], width)
    gradients, of_gates, of_inputs = _task_gradients(weights, gates, examples, task)
    through_gates = (of_gates * slopes).sum(0)
    return gradients._replace(size=through_gates + of_inputs + _size_slope(weights.size, term))


def as_published_gradients(weights: Weights, examples: Examples, term: SizeTerm, task: Task) -> Weights:
    """Return the gradient that the published code of the controller mask uses: the size's comes from its loss alone."""
    gain = controller_mask(weights.size, num_neurons=1)  # (1, t)
    gradients, _, _ = _task_gradients(weights, gain, examples, task)
    return gradients._replace(size=_size_slope(weights.size, term))


def _size_slope(size: Tensor, term: SizeTerm) -> Tensor:
    return 2 * term.coefficient * (size - term.final)


def _hidden(weights: Weights, inputs: Tensor) -> Tensor:
    at_zero = weights.hidden_bias + weights.size * weights.size_column  # (n, t)
    return _tanh(at_zero[:, None] + weights.input_column[:, None] * inputs)  # (n, e, t)


def _tanh(x: Tensor) -> Tensor:
    """Return tanh by way of the sigmoid, whose vectors cost a quarter of the time in a compiled step."""
    return 2 * torch.sigmoid(2 * x) - 1


def _outputs(weights: Weights, gates: Tensor, hidden: Tensor) -> Tensor:
    return weights.output_bias + ((weights.output * gates)[:, None] * hidden).sum(0)


def _task_gradients(weights: Weights, gates: Tensor, examples: Examples, task: Task) -> tuple[Weights, Tensor, Tensor]:
    """Return the task's gradient without the size's; of each gate `(n, t)`; and of the size as an input `(t,)`.

    Gates of one gain for all neurons get no gradient that could be used: their code takes none.
    """
    inputs, targets = examples
    hidden = _hidden(weights, inputs)
    slope = task.slope(_outputs(weights, gates, hidden), targets)  # (e, t)
    through = slope * (1 - hidden.square())  # (n, e, t)
    used = weights.output * gates  # (n, t)
    of_hidden_bias = used * through.sum(1)
    correlation = (slope * hidden).sum(1)  # (n, t)
    gradients = Weights(
        size=torch.zeros_like(weights.size),
        size_column=of_hidden_bias * weights.size,
        input_column=used * (through * inputs).sum(1),
        hidden_bias=of_hidden_bias,
        output=correlation * gates,
        output_bias=slope.sum(0),
    )
    return gradients, correlation * weights.output, (of_hidden_bias * weights.size_column).sum(0)
