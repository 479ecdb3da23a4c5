from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurosearch import names
from neurosearch.models import Cnn, CnnShape, Mlp, MlpShape
from neurosearch.neurons import apply_plan, find_units, prune
from neurosearch.training.counts import SizeCounter, count_multiply_adds


@given(st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple), st.integers(1, 5))
@settings(deadline=None, max_examples=20)
def test_an_mlp_has_the_multiply_adds_of_its_weights(widths, num_inputs):
    model = Mlp(MlpShape((num_inputs,), widths, 3, "relu", "batch", 0.5))
    sizes = [num_inputs, *widths, 3]
    products = sum(a * b for a, b in pairwise(sizes))
    assert count_multiply_adds(model, (torch.zeros(1, num_inputs),)) == products
    counted_while_it_runs = nn.Sequential(model)
    assert count_multiply_adds(counted_while_it_runs, (torch.zeros(1, num_inputs),)) == products


def test_a_cnn_has_nine_multiply_adds_per_channel_pair_and_pixel():
    model = Cnn(CnnShape((2, 8, 8), (3, 5), 4, 0.0))
    expected = 9 * 2 * 3 * 64 + 9 * 3 * 5 * 16 + 5 * 4
    assert count_multiply_adds(model, (torch.zeros(1, 2, 8, 8),)) == expected


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(training):
    model = Mlp(MlpShape((3,), (4,), 2, "relu", "batch", 0.0)).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_multiply_adds(model, (torch.ones(1, 3),))
    assert model.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_counts_follow_a_network_that_changes():
    model = Mlp(MlpShape((3,), (4,), 2, "relu", "none", 0.0))
    inputs = (torch.zeros(2, 3),)
    units = find_units(model, inputs)
    counter = SizeCounter(model, inputs)
    (group,) = units.groups
    assert counter.count(units) == {
        f"neurons/{group.name}": 4,
        names.NEURONS: 4,
        names.PARAMETERS: 4 * 3 + 4 + 2 * 4 + 2,
        names.MULTIPLY_ADDS: 4 * 3 + 2 * 4,
    }
    units = apply_plan(prune(units, {group.name: [0, 2]}), model)
    assert counter.count(units)[names.PARAMETERS] == 2 * 3 + 2 + 2 * 2 + 2
