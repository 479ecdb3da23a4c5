import torch
from torch import nn

from neurosearch.growth import StaticPolicy
from neurosearch.neurons import find_units
from neurosearch.training.network import Network, load_weights


class HalfOpen(StaticPolicy):
    """Gates every neuron at one half."""

    def gates(self, units):
        return {group.name: torch.full((group.size,), 0.5) for group in units.groups}


def make(policy):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    units = find_units(model, (torch.zeros(2, 3),))
    return Network(model, units, policy, amp=False, channels_last=False, compiled=False)


INPUTS = torch.arange(12.0).view(4, 3)


def test_an_ungated_network_is_the_model_itself():
    network = make(StaticPolicy())
    assert network.for_training() is network.model


def test_gates_stand_before_the_outgoing_weights_in_training_and_evaluation():
    network = make(HalfOpen())
    hidden, last = network.model[:3], network.model[3]
    gated = network.for_training()(INPUTS)
    assert torch.allclose(gated, last(0.5 * hidden(INPUTS)))
    gated = network.for_evaluation()(INPUTS)
    assert torch.allclose(gated, last(0.5 * hidden(INPUTS)))


def test_running_statistics_move_in_training_and_not_in_evaluation():
    network = make(HalfOpen())
    mean = network.model[1].running_mean
    network.for_evaluation()(INPUTS)
    assert not mean.any()
    network.for_training()(INPUTS)
    assert mean.any()


def test_weights_are_loaded_with_their_memory_order():
    source, target = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
    source.to(memory_format=torch.channels_last)
    weight = target.weight
    load_weights(target, source.state_dict())
    assert target.weight is weight
    assert torch.equal(weight, source.weight)
    assert weight.stride() == source.weight.stride()
