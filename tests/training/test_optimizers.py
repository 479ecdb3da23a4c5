from dataclasses import replace

import pytest
import torch
from torch import nn

from neurosearch.training.optimizers import make_optimizer, set_learning_rate


@pytest.fixture
def parameters():
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]


@pytest.mark.parametrize(
    ("kind", "kept"),
    [("sgd", {"momentum": 0.9}), ("adam", {"betas": (0.9, 0.999)}), ("adamw", {"betas": (0.9, 0.999)})],
)
def test_the_optimizer_is_the_asked_one_in_its_fused_form(training_settings, parameters, kind, kept):
    optimizer = make_optimizer(replace(training_settings, optimizer=kind), parameters, [], {})
    assert type(optimizer).__name__.lower() == kind
    (group,) = optimizer.param_groups
    expected = {"lr": 0.01, "weight_decay": 0.01, "fused": True, **kept}
    assert {key: group[key] for key in expected} == expected


def test_size_weights_have_a_group_of_their_own(training_settings, parameters):
    size = nn.Parameter(torch.ones(1))
    optimizer = make_optimizer(training_settings, parameters, [size], {"lr": 0.5, "weight_decay": 0.0})
    network, sizes = optimizer.param_groups
    assert [network["lr"], network["weight_decay"]] == [0.01, 0.01]
    assert [sizes["lr"], sizes["weight_decay"]] == [0.5, 0.0]
    assert sizes["params"] == [size]


def test_the_schedule_moves_every_group_in_proportion(training_settings, parameters):
    size = nn.Parameter(torch.ones(1))
    settings = replace(training_settings, warmup_epochs=4, epochs=8)
    optimizer = make_optimizer(settings, parameters, [size], {"lr": 0.5})
    for epoch, factor in [(0, 0.25), (3, 1.0), (4, 1.0), (6, 0.5)]:
        set_learning_rate(optimizer, settings, epoch)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01 * factor, 0.5 * factor])
