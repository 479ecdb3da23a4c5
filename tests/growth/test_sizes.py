from itertools import pairwise

import pytest
import torch
from torch import nn

from neurosearch.growth.sizes import size_map
from neurosearch.neurons import SurgeryError, find_units


def mlp(*widths):
    sizes = (3, *widths)
    layers = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(sizes[-1], 2))
    return find_units(model, (torch.zeros(2, 3),))


@pytest.mark.parametrize(
    ("sharing", "weights"),
    [
        ("each", {"0": 0, "2": 1, "4": 2}),
        ("all", {"0": 0, "2": 0, "4": 0}),
        ((("0", "4"),), {"0": 0, "4": 0, "2": 1}),
        ((("2",), ("0", "4")), {"2": 0, "0": 1, "4": 1}),
    ],
)
def test_groups_share_the_weights_that_were_asked_for(sharing, weights):
    assert size_map(mlp(8, 6, 8), "share", sharing).weight == weights


def test_a_shared_share_gives_each_group_its_own_number_of_neurons():
    sizes = size_map(mlp(8, 6), "share", "all").sizes(torch.tensor([0.5]))
    assert {name: size.item() for name, size in sizes.items()} == {"0": 4.0, "2": 3.0}


def test_a_weight_in_neurons_is_the_size():
    found = size_map(mlp(8, 6), "neurons", "each")
    sizes = found.sizes(torch.tensor([2.5, 4.0]))
    assert {name: size.item() for name, size in sizes.items()} == {"0": 2.5, "2": 4.0}
    assert found.from_share(0.5) == [4.0, 3.0]


def test_bounds_are_those_of_the_tightest_group():
    assert size_map(mlp(8, 6), "share", "all").smallest({"0": 4.0, "2": 6.0}) == [0.5]


@pytest.mark.parametrize(
    ("unit", "sharing", "message"),
    [
        ("neurons", "all", r"0 has 8 neurons, 2 has 6 neurons\. Set size_unit: share"),
        ("share", (("0", "2a"),), r"no group '2a', did you mean '2'"),
    ],
)
def test_what_cannot_be_shared_is_refused_by_name(unit, sharing, message):
    with pytest.raises(SurgeryError, match=message):
        size_map(mlp(8, 6), unit, sharing)


def normalised():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 2))
    return find_units(model, (torch.zeros(2, 3),))


def test_groups_that_cannot_grow_exactly_keep_their_size_and_are_told():
    found = size_map(normalised(), "share", "each")
    assert found.base == {"2": 6}
    assert found.fixed.keys() == {"0"}
    assert "a mean or variance is taken over its units" in found.fixed["0"]


def test_naming_a_group_that_keeps_its_size_is_refused():
    with pytest.raises(SurgeryError, match=r"sharing names group 0, whose size cannot be trained: .* Take it out\."):
        size_map(normalised(), "share", (("0", "2"),))


def test_a_network_without_a_group_that_comes_and_goes_is_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    units = find_units(model, (torch.zeros(2, 3),))
    with pytest.raises(SurgeryError, match=r"no group of this network can have a trained size: 0 \("):
        size_map(units, "share", "each")
