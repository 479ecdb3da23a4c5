"""Packs: a member's result is its own, whoever else is trained."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neurosearch.training.packed import AdamState, adam, adam_start, compiled, descend, train


class Line(NamedTuple):
    slope: Tensor  # (n, t)
    bias: Tensor  # (t,)


class Given(NamedTuple):
    inputs: Tensor  # (n, e, t)
    targets: Tensor  # (e, t)
    rates: Line


def line_gradients(weights, given_):
    predicted = (weights.slope[:, None] * given_.inputs).sum(0) + weights.bias
    error = torch.sigmoid(predicted) - given_.targets
    return Line((error * given_.inputs).sum(1), error.sum(0))


def descent(weights, given_):
    return descend(weights, line_gradients(weights, given_), given_.rates)


def adam_descent(state, given_):
    return adam(state, line_gradients(state.weights, given_), rate=0.01)


def members(count, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    rate = torch.full((count,), 0.1, dtype=dtype)
    return Line(normal(3, count), normal(count)), Given(normal(3, 5, count), normal(5, count), Line(rate, rate))


def chosen(tree, numbers):
    if isinstance(tree, Tensor):
        return tree[..., numbers]
    return type(tree)._make(chosen(part, numbers) for part in tree)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_member_is_the_same_in_any_company(count, other_place, seed):
    weights, given_ = members(count, seed)
    together = train(descent, weights, given_, num_steps=7, pack_size=16)
    order = torch.arange(count).roll(other_place)
    moved = train(descent, chosen(weights, order), chosen(given_, order), num_steps=7, pack_size=16)
    for one, other in zip(chosen(together, order), moved, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("pack_size", [1, 4, 16])
def test_packs_of_any_size_give_every_member_in_its_place(pack_size):
    weights, given_ = members(10, dtype=torch.float64)
    found = train(descent, weights, given_, num_steps=3, pack_size=pack_size)
    for number in range(10):
        alone = chosen(weights, [number])
        for _ in range(3):
            alone = descent(alone, chosen(given_, [number]))
        for one, all_of_them in zip(alone, found, strict=True):
            assert torch.allclose(one[..., 0], all_of_them[..., number], rtol=1e-12, atol=1e-12)


def test_training_leaves_the_start_as_it_was():
    weights, given_ = members(3)
    kept = Line(*(weight.clone() for weight in weights))
    train(descent, weights, given_, num_steps=2, pack_size=4)
    assert all(map(torch.equal, weights, kept))


def test_a_diverging_member_ends_alone():
    weights, given_ = members(4)
    weights.bias[2] = float("nan")
    found = train(descent, weights, given_, num_steps=3, pack_size=4)
    assert torch.isfinite(found.bias).tolist() == [True, True, False, True]


def test_adam_is_pytorchs_adam():
    weights, given_ = members(4, dtype=torch.float64)
    theirs = [weight.clone().requires_grad_() for weight in weights]
    optimizer = torch.optim.Adam(theirs, lr=0.01)
    for _ in range(20):
        for weight, gradient in zip(theirs, line_gradients(Line(*theirs), given_), strict=True):
            weight.grad = gradient.detach()
        optimizer.step()
    ours = train(adam_descent, adam_start(weights), given_, num_steps=20, pack_size=4)
    assert isinstance(ours, AdamState)
    assert ours.steps.tolist() == [20.0] * 4
    for one, other in zip(ours.weights, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_rate_of_0_holds_a_weight():
    weights, given_ = members(3)
    held = given_._replace(rates=given_.rates._replace(slope=torch.zeros(3)))
    found = train(descent, weights, held, num_steps=2, pack_size=4)
    assert torch.equal(found.slope, weights.slope)
    assert not torch.equal(found.bias, weights.bias)


def test_tensors_of_different_packs_are_refused():
    weights, _ = members(3)
    _, given_ = members(4)
    with pytest.raises(ValueError, match=r"members in their last dimension, but these have \[3, 4\] of them"):
        train(descent, weights, given_, num_steps=1, pack_size=4)


@pytest.mark.slow
def test_a_compiled_step_computes_the_same_and_keeps_members_apart():
    weights, given_ = members(20)
    step = compiled(descent)
    plain = train(descent, weights, given_, num_steps=5, pack_size=16)
    found = train(step, weights, given_, num_steps=5, pack_size=16)
    order = torch.arange(20).roll(3)
    moved = train(step, chosen(weights, order), chosen(given_, order), num_steps=5, pack_size=16)
    for one, other, again in zip(found, plain, moved, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
        assert torch.equal(one[..., order], again)
