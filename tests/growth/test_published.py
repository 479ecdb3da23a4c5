"""Outputs and gradients of the published networks, against the formulas of the paper and against autograd."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.growth.published import (
    SQUARES,
    TWO_CLASSES,
    Examples,
    SizeTerm,
    Weights,
    as_published_gradients,
    auxiliary_gates,
    auxiliary_gradients,
    controller_mask,
    outputs,
    size_loss,
)

TASKS = {"squares": SQUARES, "two classes": TWO_CLASSES}


def networks(num_neurons, num_examples, num_networks, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64).mul(2).sub(1).to(dtype)

    per_neuron = (num_neurons, num_networks)
    weights = Weights(
        (uniform(num_networks) + 1) * (num_neurons + 1) / 2,
        *(uniform(*per_neuron) for _ in range(4)),
        uniform(num_networks),
    )
    inputs = uniform(num_examples, num_networks)
    examples = Examples(inputs, (uniform(num_examples, num_networks) > 0).to(dtype))
    term = SizeTerm(uniform(num_networks) + 1, torch.full((num_networks,), 5.0, dtype=dtype))
    return weights, examples, term


def by_the_formula(weights, x, t):
    """The network of the paper, one number at a time."""
    size = weights.size[t].item()

    def gate(n):
        return 0.0 if n < 0 else 1.0 if n > 1 else math.sin(math.pi * n / 2) ** 2

    return weights.output_bias[t].item() + sum(
        weights.output[m, t].item()
        * gate(size - m)
        * math.tanh(
            weights.hidden_bias[m, t].item()
            + size * weights.size_column[m, t].item()
            + x * weights.input_column[m, t].item()
        )
        for m in range(weights.output.shape[0])
    )


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32))
@settings(deadline=None)
def test_outputs_are_the_papers_formula(num_neurons, num_examples, num_networks, seed):
    weights, examples, _ = networks(num_neurons, num_examples, num_networks, seed)
    gates, _ = auxiliary_gates(weights.size, num_neurons, width=1.0)
    found = outputs(weights, gates, examples.inputs)
    for e, t in torch.cartesian_prod(torch.arange(num_examples), torch.arange(num_networks)).tolist():
        expected = by_the_formula(weights, examples.inputs[e, t].item(), t)
        assert found[e, t].item() == pytest.approx(expected, abs=1e-12)


@given(st.sampled_from(sorted(TASKS)), st.floats(0.3, 3.0), st.integers(0, 2**32))
@settings(deadline=None)
def test_gradients_of_the_auxiliary_weight_are_those_of_autograd(task, width, seed):
    weights, examples, term = networks(9, 7, 4, seed)
    weights = Weights(*(weight.requires_grad_() for weight in weights))
    gates, _ = auxiliary_gates(weights.size, 9, width)
    task_loss = TASKS[task].loss(outputs(weights, gates, examples.inputs), examples.targets)
    expected = torch.autograd.grad((task_loss + size_loss(weights.size, term)).sum(), weights)
    found = auxiliary_gradients(weights, examples, term, width, TASKS[task])
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_published_controller_learns_from_its_own_loss_alone():
    weights, examples, term = networks(9, 7, 4, seed=3)
    weights = Weights(*(weight.requires_grad_() for weight in weights))
    task_loss = SQUARES.loss(outputs(weights, controller_mask(weights.size, 1), examples.inputs), examples.targets)
    expected = torch.autograd.grad(task_loss.sum(), weights)
    found = as_published_gradients(weights, examples, term, SQUARES)
    for name, ours, theirs in zip(Weights._fields, found, expected, strict=True):
        if name != "size":
            assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert expected[0].abs().min() > 1e-6  # the gradient that the published code leaves out
    assert torch.equal(found.size, 2 * term.coefficient * (weights.size - term.final))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gradients_of", [auxiliary_gradients, as_published_gradients])
def test_a_network_of_a_stack_equals_the_same_network_alone(gradients_of, dtype):
    weights, examples, term = networks(9, 32, 5, seed=1, dtype=dtype)
    width = (1.0,) if gradients_of is auxiliary_gradients else ()
    together = gradients_of(weights, examples, term, *width, SQUARES)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for t in range(5):
        alone = gradients_of(
            Weights(*(weight[..., t : t + 1] for weight in weights)),
            Examples(*(part[..., t : t + 1] for part in examples)),
            SizeTerm(*(part[t : t + 1] for part in term)),
            *width,
            SQUARES,
        )
        for one, all_of_them in zip(alone, together, strict=True):
            assert torch.allclose(one[..., 0], all_of_them[..., t], rtol=tolerance, atol=tolerance)


def test_a_shut_neuron_learns_nothing():
    weights, examples, term = networks(9, 7, 1, seed=2)
    weights = weights._replace(size=torch.tensor([4.0], dtype=torch.float64))
    gradients = auxiliary_gradients(weights, examples, term, 1.0, SQUARES)
    for gradient in (gradients.size_column, gradients.input_column, gradients.hidden_bias, gradients.output):
        assert gradient[:4].abs().min() > 0
        assert not gradient[4:].any()


@given(st.floats(-3.0, 3.0), st.integers(1, 12))
@settings(deadline=None)
def test_the_mask_is_ones_a_rest_and_zeros(control, num_neurons):
    share = math.sin(math.pi * control / 2) ** 2
    ones = math.floor(share * num_neurons)
    expected = [1.0] * ones + [share * num_neurons - ones] + [0.0] * num_neurons
    found = controller_mask(torch.tensor([control], dtype=torch.float64), num_neurons)
    assert found[:, 0].tolist() == pytest.approx(expected[:num_neurons], abs=1e-12)
