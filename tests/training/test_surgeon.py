import pytest
import torch
from torch import nn

from neurosearch.growth import Clock, Decision, StaticPolicy
from neurosearch.neurons import Reserve, SurgeryError, find_units, grow, prune
from neurosearch.training.memory import is_out_of_memory
from neurosearch.training.network import Network
from neurosearch.training.records import GrowthEvent
from neurosearch.training.surgeon import Surgeon

CLOCK = Clock(6, 2, 3, 9)


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    units = find_units(model, (torch.zeros(2, 3),))
    network = Network(model, units, StaticPolicy(), amp=False, channels_last=False, compiled=False)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    (group,) = units.groups
    surgeon = Surgeon(
        network, optimizer, None, None, {group.name: group.size}, 4, 0, Reserve(model, units, {}, torch.Generator())
    )
    return surgeon, network, optimizer, group.name


def test_decisions_are_applied_in_order_and_each_leaves_an_event():
    surgeon, network, _, name = make()
    growth = grow(network.units, {name: 2})
    pruning = prune(growth.units_after(network.units), {name: [0]})
    surgeon.apply([Decision(growth, "more", None), Decision(pruning, "fewer", None)], CLOCK)
    assert surgeon.events == [GrowthEvent(6, 2, name, 2, 0, "more"), GrowthEvent(6, 2, name, 0, 1, "fewer")]
    assert network.model[0].out_features == 5


def test_what_is_noted_of_a_group_stands_behind_the_reason():
    surgeon, network, _, name = make()
    plan = prune(network.units, {name: [0]})
    surgeon.apply([Decision(plan, "fewer", None, notes={name: "1 merged", "other": "not merged"})], CLOCK)
    assert surgeon.events == [GrowthEvent(6, 2, name, 0, 1, "fewer; 1 merged")]


def test_the_optimizer_follows_and_old_gradients_are_gone():
    surgeon, network, optimizer, name = make()
    surgeon.apply([Decision(prune(network.units, {name: [1, 2]}), "fewer", None)], CLOCK)
    (group,) = optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in network.model.parameters()]
    assert all(optimizer.state[p]["exp_avg"].shape == p.shape for p in group["params"])
    assert all(p.grad is None for p in group["params"])


def test_memory_that_is_not_there_is_no_mistake_of_the_plan():
    surgeon, network, _, name = make()
    before = [parameter.detach().clone() for parameter in network.model.parameters()]
    with pytest.raises((RuntimeError, MemoryError), match="allocate") as caught:
        surgeon.apply([Decision(grow(network.units, {name: 10**12}), "too many", None)], CLOCK)
    assert is_out_of_memory(caught.value)
    assert all(torch.equal(old, new) for old, new in zip(before, network.model.parameters(), strict=True))
    misfit = Decision(prune(network.units.with_sizes((7,)), {name: [0]}), "of another network", None)
    with pytest.raises(SurgeryError, match="its units say"):
        surgeon.apply([misfit], CLOCK)
    assert surgeon.events == []


def test_folded_gates_are_in_the_weights_and_gone():
    surgeon, network, _, name = make()
    inputs = torch.ones(2, 3)
    network.is_gated = True
    gate = torch.tensor([1.0, 0.5, 0.0, 1.0])
    with torch.no_grad():
        expected = network.model[2](gate * network.model[:2](inputs))
    surgeon.apply([Decision(prune(network.units, {name: [2]}), "final", {name: gate})], CLOCK)
    assert not network.is_gated
    assert torch.allclose(network.model(inputs), expected)


def test_a_group_that_cannot_change_is_noted_once_and_counts_are_handed_over_once():
    surgeon, network, _, name = make()
    nothing = Decision(grow(network.units, {}), "more", None, {"kept": 1.0}, {name: "it is tied"})
    surgeon.apply([nothing], CLOCK)
    surgeon.apply([nothing], CLOCK)
    assert surgeon.events == [GrowthEvent(6, 2, name, 0, 0, "stays at its base size: it is tied")]
    assert surgeon.take_counts() == {"kept": 1.0}
    assert surgeon.take_counts() == {}
