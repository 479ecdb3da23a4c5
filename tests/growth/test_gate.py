import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.growth.gate import bounded, gate_values, size_loss, theta

widths = st.floats(0.25, 4.0)


def closed_theta(n, width):
    if n <= 0:
        return 0.0
    return 1.0 if n >= width else math.sin(math.pi * n / (2 * width)) ** 2


def closed_theta_slope(n, width):
    return math.pi / (2 * width) * math.sin(math.pi * n / width) if 0 < n < width else 0.0


@given(st.floats(-3.0, 6.0), widths)
@settings(deadline=None, max_examples=200)
def test_theta_and_its_slope_are_the_closed_form(n, width):
    distance = torch.tensor(n, dtype=torch.float64, requires_grad=True)
    value = theta(distance, width)
    value.backward()
    assert value.item() == pytest.approx(closed_theta(n, width), abs=1e-12)
    assert distance.grad.item() == pytest.approx(closed_theta_slope(n, width), abs=1e-12)


@given(st.sampled_from([-1.0, 0.0, 1.0, 2.0]), widths, st.sampled_from([torch.float32, torch.float64]))
@settings(deadline=None)
def test_a_shut_and_an_open_gate_have_a_slope_of_exactly_zero(share, width, dtype):
    distance = torch.tensor(share * width, dtype=dtype, requires_grad=True)
    theta(distance, distance.item() if share == 1.0 else width).backward()
    assert distance.grad.item() == 0.0


def test_a_size_at_its_bound_still_feels_the_way_back_and_one_beyond_feels_nothing():
    sizes = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    found = bounded(sizes, 2.0)
    found.sum().backward()
    assert found.tolist() == [1.0, 2.0, 2.0]
    assert sizes.grad.tolist() == [1.0, 1.0, 0.0]


@given(st.floats(0.0, 8.0), st.integers(1, 8), widths)
@settings(deadline=None, max_examples=200)
def test_gates_and_their_slopes_are_the_closed_form(size, num_neurons, width):
    trained = torch.tensor(size, dtype=torch.float64, requires_grad=True)
    gates = gate_values(trained, num_neurons, width)
    distances = [size - m + 1 for m in range(1, num_neurons + 1)]
    expected = torch.tensor([closed_theta(n, width) for n in distances], dtype=torch.float64)
    assert torch.allclose(gates, expected, rtol=0, atol=1e-12)
    for gate, n in zip(gates, distances, strict=True):
        (slope,) = torch.autograd.grad(gate, trained, retain_graph=True)
        assert slope.item() == pytest.approx(closed_theta_slope(n, width), abs=1e-12)


@given(st.integers(0, 8), st.integers(1, 8))
@settings(deadline=None)
def test_a_whole_size_opens_exactly_so_many_gates_of_width_one(size, num_neurons):
    gates = gate_values(torch.tensor(float(size), dtype=torch.float64), num_neurons, 1.0)
    expected = [1.0] * min(size, num_neurons) + [0.0] * (num_neurons - size)
    assert gates.tolist() == pytest.approx(expected, abs=1e-15)


@given(st.floats(0.0, 8.0), widths)
@settings(deadline=None)
def test_the_gate_after_the_next_whole_size_is_shut_whatever_the_width(size, width):
    gates = gate_values(torch.tensor(size, dtype=torch.float64), 12, width)
    assert not gates[math.ceil(size) :].any()


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=4), st.floats(0.1, 2.0), st.floats(0.0, 100.0))
@settings(deadline=None)
def test_size_loss_and_its_gradient_are_the_closed_form(shares, target, coefficient):
    trained = torch.tensor(shares, dtype=torch.float64, requires_grad=True)
    loss = size_loss(trained, target, coefficient)
    loss.backward()
    expected = coefficient * sum((s - target) ** 2 for s in shares) / len(shares)
    slopes = [2 * coefficient * (s - target) / len(shares) for s in shares]
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert trained.grad.tolist() == pytest.approx(slopes, rel=1e-12, abs=1e-12)
