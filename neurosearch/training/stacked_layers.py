"""The layers of a stack: linear, normalisation, activation, dropout and gate of all its networks at once.

Shape letters: k networks, b batch, i and o padded inputs and outputs of a layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neurosearch.training.chain import Link
from neurosearch.training.form import LinkForm, padded
from neurosearch.training.rows import Rows

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh}


class _Linear(torch.autograd.Function):
    """A linear layer for each network, whose gradients are written to where the optimizer reads them."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, _token: Tensor, layer: "StackedLayer") -> Tensor:
        """Return `(k, b, o)` for inputs `(k, b, i)`; by the token autograd comes back where inputs need no gradient."""
        ctx.save_for_backward(inputs)
        ctx.layer, ctx.needed = layer, ctx.needs_input_grad[0]
        return torch.baddbmm(layer.bias[:, None], inputs, layer.weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, None, None]:
        """Write the gradients of weight and bias; return that of the inputs."""
        (inputs,) = ctx.saved_tensors
        layer, slope = ctx.layer, slopes[0].contiguous()
        torch.bmm(slope.transpose(1, 2), inputs, out=layer.weight_gradient)
        # A sum by a product: `sum` itself runs in another order where the layer is wider.
        layer.bias_gradient.copy_(torch.bmm(layer.ones(slope), slope)[:, 0])
        return torch.bmm(slope, layer.weight) if ctx.needed else None, None, None


class StackedLayer:
    """One layer of all networks of a stack.

    Attributes:
        weight: `(k, o, i)`.
        bias: `(k, o)`.
        weight_gradient: As `weight`.
        bias_gradient: As `bias`.
        column: What each neuron multiplies its group's size by, `(k, m)`; None without one.
    """

    def __init__(self, index: int, form: LinkForm, rows: Rows, num_rows: int) -> None:
        """Take the layer's place in the rows."""
        pieces = rows.pieces
        self.weight = pieces[f"{index}.weight"].of_all(rows.weights)
        self.bias = pieces[f"{index}.bias"].of_all(rows.weights)
        self.weight_gradient = pieces[f"{index}.weight"].of_all(rows.gradients)
        self.bias_gradient = pieces[f"{index}.bias"].of_all(rows.gradients)
        self.column = rows.leaf(f"{index}.column") if form.num_column else None
        self._form = form
        self._token = rows.weights.new_zeros(()).requires_grad_()
        self._ones = rows.weights.new_ones(1, 1, 0)
        self._norm: tuple[Tensor, Tensor] | None = None
        if form.has_norm:
            self._norm = rows.leaf(f"{index}.norm_weight"), rows.leaf(f"{index}.norm_bias")
        self._means = rows.weights.new_zeros(num_rows, form.num_outputs)
        self._variances = rows.weights.new_ones(num_rows, form.num_outputs)
        self._eps, self._momentum = 0.0, 0.0
        self._num_batches = [0] * num_rows  # since the network was loaded
        self._dropouts = [0.0] * num_rows
        self._widths = [0] * num_rows

    def ones(self, slope: Tensor) -> Tensor:
        """Return what sums a tensor `(k, b, o)` over its batch: ones `(k, 16, b)`, no narrower, to round alike."""
        if self._ones.size(2) != slope.size(1):
            self._ones = slope.new_ones(1, padded(1), slope.size(1))
        return self._ones.expand(slope.size(0), -1, -1)

    def load(self, row: int, link: Link) -> None:
        """Take in what a network's layer keeps beside its parameters."""
        self._dropouts[row], self._widths[row] = link.dropout or 0.0, link.linear.out_features
        if link.norm is None:
            return
        assert link.norm.running_mean is not None
        assert link.norm.running_var is not None
        assert link.norm.momentum is not None
        self._eps, self._momentum = link.norm.eps, link.norm.momentum
        self._num_batches[row] = 0
        self._means[row].zero_()[: self._widths[row]] = link.norm.running_mean
        self._variances[row].fill_(1.0)[: self._widths[row]] = link.norm.running_var

    def unload(self, row: int, link: Link) -> None:
        """Give a network's layer back what has become of that."""
        if link.norm is None:
            return
        assert link.norm.running_mean is not None
        assert link.norm.running_var is not None
        assert link.norm.num_batches_tracked is not None
        link.norm.running_mean.copy_(self._means[row, : self._widths[row]])
        link.norm.running_var.copy_(self._variances[row, : self._widths[row]])
        link.norm.num_batches_tracked += self._num_batches[row]
        self._num_batches[row] = 0

    def forward(
        self, inputs: Tensor, gate: Tensor | None, shift: Tensor | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the layer's outputs `(k, b, o)`.

        Args:
            inputs: `(k, b, i)`.
            gate: A factor for each output, `(k, o)`; None for none.
            shift: What is added before the activation, `(k, o)`; None for nothing.
            generators: Each network's own, for its dropout.
        """
        outputs: Tensor = _Linear.apply(inputs, self._token, self)
        if self._norm is not None:
            outputs = self._normalised(outputs)
        if shift is not None:
            outputs = outputs + shift[:, None]
        if self._form.activation:
            outputs = ACTIVATIONS[self._form.activation](outputs)
        if self._form.has_dropout:
            outputs = outputs * self._kept(outputs, generators)
        return outputs if gate is None else outputs * gate[:, None]

    def _normalised(self, outputs: Tensor) -> Tensor:
        """Return outputs with each network's batch statistics, as one normalisation of as many features as all have."""
        assert self._norm is not None
        num_rows, batch, width = outputs.shape
        flat = outputs.transpose(0, 1).reshape(batch, num_rows * width)
        weight, bias = (parameter.reshape(-1) for parameter in self._norm)
        means, variances = self._means.view(-1), self._variances.view(-1)
        flat = F.batch_norm(flat, means, variances, weight, bias, True, self._momentum, self._eps)
        self._num_batches = [number + 1 for number in self._num_batches]
        return flat.view(batch, num_rows, width).transpose(0, 1).contiguous()

    def _kept(self, outputs: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return a factor for each output, 0 where it is dropped; drawn as `nn.Dropout` draws for a network alone."""
        factors = torch.zeros_like(outputs)
        for row, (share, width, generator) in enumerate(zip(self._dropouts, self._widths, generators, strict=True)):
            kept = outputs.new_empty(outputs.size(1), width).bernoulli_(1 - share, generator=generator)
            factors[row, :, :width] = kept.div_(1 - share)
        return factors
