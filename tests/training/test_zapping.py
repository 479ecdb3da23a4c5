import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neurosearch.epochs import epochs_within
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.zapping import Zapping, zap


def run(trainer):
    for _ in trainer.epochs():
        pass
    return trainer.finish()


@given(period=st.integers(1, 9), stop=st.floats(0.0, 1.0), epochs=st.integers(1, 30))
def test_it_happens_every_period_after_the_first_epoch_and_not_after_the_stop(period, stop, epochs):
    due = [epoch for epoch in range(epochs) if Zapping(period, stop).is_due(epoch, epochs)]
    assert due == [epoch for epoch in range(period, epochs, period) if epoch <= epochs_within(stop, epochs)]


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)])
def test_weights_are_drawn_anew_by_the_seed_and_moments_are_gone_while_other_layers_keep_theirs(optimizer):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = optimizer(model.parameters())
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    first, head = copy.deepcopy(model[0].state_dict()), model[2].weight.detach().clone()
    zap(model[2], optimizer, seed=4)
    drawn = model[2].weight.detach().clone()
    assert not torch.equal(drawn, head)
    zap(model[2], optimizer, seed=4)
    assert torch.equal(drawn, model[2].weight)
    assert all(torch.equal(value, model[0].state_dict()[name]) for name, value in first.items())
    moments = [value for p in model[2].parameters() for value in optimizer.state[p].values() if value.shape == p.shape]
    kept = [value for value in optimizer.state[model[0].weight].values() if value.shape == model[0].weight.shape]
    assert all((value == 0).all() for value in moments)
    assert len(moments) >= 2
    assert any((value != 0).any() for value in kept)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_zapped_and_growing_training_stopped_and_resumed_equals_uninterrupted(build_trainer, stop):
    choices = {"policy": "periodic", "zapping": Zapping(2, 0.7)}
    whole, store = build_trainer(**choices), MemoryCheckpointStore()
    run(whole)
    zapped = [(e.epoch, e.group) for e in whole.events if e.reason == "the class head was drawn anew"]
    assert [epoch for epoch, _ in zapped] == [2, 4]
    list(itertools.islice(build_trainer(**choices, store=store).epochs(), stop))
    resumed = build_trainer(**choices, store=store)
    run(resumed)
    assert resumed.events == whole.events
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
