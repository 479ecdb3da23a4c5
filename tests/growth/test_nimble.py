import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from neurosearch.growth import Clock, NimblePolicy, NimbleSettings, Snapshot
from neurosearch.growth.gate import gate_values
from neurosearch.models import Cnn, CnnShape
from neurosearch.models.resnet_cifar import ResnetCifar, ResnetCifarShape
from neurosearch.neurons import (
    SurgeryError,
    apply_plan,
    find_units,
    fold_gates,
    fold_shifts,
    gated_parameters,
    shifted_parameters,
)

CPU = torch.device("cpu")
SETTINGS = NimbleSettings(
    size_coefficient=0.1,
    target_share=0.5,
    start_share=0.5,
    maximum_share=2.0,
    gate_width=1.0,
    size_unit="share",
    size_input=False,
    column_scale=1.0,
    sharing="each",
    learning_rate=0.01,
    check_steps=1,
)


def network(width=6, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2)).double()


class Live:
    """A network under a nimble policy whose size a test moves by hand."""

    def __init__(self, share, width=6, **changes):
        self.model = network(width)
        self.units = find_units(self.model, (torch.zeros(2, 3, dtype=torch.float64),))
        self.base = {group.name: group.size for group in self.units.groups}
        self.policy = NimblePolicy(replace(SETTINGS, start_share=share, **changes))
        self.policy.attach(self.units, CPU, torch.float64, torch.Generator().manual_seed(2))
        self.inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def snapshot(self, step=0):
        return Snapshot(
            Clock(step, step, 1, 100), self.units, self.base, None, None, None, torch.Generator().manual_seed(step)
        )

    def check(self, step=0):
        self._apply(self.policy.decide(self.snapshot(step)))

    def finish(self):
        self._apply(self.policy.finish(self.snapshot(100)))

    def move_to(self, share):
        with torch.no_grad():
            self.policy.trained()[0].fill_(share)

    def outputs(self):
        with torch.no_grad():
            parameters = gated_parameters(self.model, self.units, self.policy.gates(self.units))
            return functional_call(self.model, parameters, (self.inputs,))

    @property
    def size(self):
        (group,) = self.units.groups
        return group.size

    def _apply(self, decisions):
        for decision in decisions:
            if decision.fold is not None:
                fold_gates(self.model, self.units, decision.fold)
            self.units = apply_plan(decision.plan, self.model)


@given(st.floats(0.0, 2.0))
@settings(deadline=None, max_examples=40)
def test_real_tensors_hold_the_open_neurons_and_one_spare(share):
    live = Live(share)
    live.check()
    assert live.size == min(math.ceil(share * 6) + 1, 12)
    (gate,) = live.policy.gates(live.units).values()
    assert torch.allclose(gate, gate_values(torch.tensor(share * 6, dtype=torch.float64), live.size, 1.0), atol=1e-12)


@given(path=st.lists(st.floats(0.0, 2.2), min_size=1, max_size=6), width=st.floats(0.5, 3.0))
@settings(deadline=None, max_examples=40)
def test_growing_and_shrinking_never_changes_the_outputs(path, width):
    live = Live(0.5, gate_width=width)
    live.check()
    for step, share in enumerate(path, start=1):
        live.move_to(share)
        before = live.outputs()
        live.check(step)
        assert torch.allclose(live.outputs(), before, rtol=0, atol=1e-12)


@given(share=st.floats(0.0, 2.0), width=st.floats(0.5, 3.0))
@settings(deadline=None, max_examples=40)
def test_a_masked_network_of_maximum_width_gives_the_same_outputs(share, width):
    live = Live(share, gate_width=width)
    live.check()
    small = live.model
    large = network(width=12)
    with torch.no_grad():
        for to, source in zip(large.parameters(), small.parameters(), strict=True):
            to.uniform_(-1, 1)
            to[tuple(slice(n) for n in source.shape)] = source
        mask = gate_values(torch.tensor(share * 6, dtype=torch.float64), 12, width)
        masked = large[2](mask * large[1](large[0](live.inputs)))
    assert torch.allclose(live.outputs(), masked, rtol=0, atol=1e-12)


@given(st.floats(0.0, 2.0))
@settings(deadline=None, max_examples=40)
def test_the_final_network_is_the_gated_one_cut_at_the_rounded_size(share):
    live = Live(share)
    live.check()
    size = max(1, math.floor(share * 6 + 0.5))
    with torch.no_grad():
        (gate,) = live.policy.gates(live.units).values()
        gate = gate * (torch.arange(live.size) < size)
        expected = live.model[2](gate * live.model[1](live.model[0](live.inputs)))
    live.finish()
    assert live.size == size
    assert torch.allclose(live.model(live.inputs), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("width", "maximum", "expected"), [(6, 0.75, 4), (6, 0.45, 2), (6, 0.1, 1), (100, 0.29, 29), (10, 1.1, 11)]
)
def test_the_final_size_is_at_most_the_largest_one(width, maximum, expected):
    live = Live(maximum, width=width, maximum_share=maximum)
    live.check()
    live.finish()
    assert live.size == expected


def test_the_size_weight_gets_its_gradient_from_the_task_too():
    live = Live(0.6)
    live.check()
    parameters = gated_parameters(live.model, live.units, live.policy.gates(live.units))
    functional_call(live.model, parameters, (live.inputs,)).square().sum().backward()
    assert live.policy.trained()[0].grad.abs().item() > 0


def test_a_size_outside_its_bounds_is_put_back():
    live = Live(0.5)
    live.check()
    live.move_to(-0.3)
    live.check(step=1)
    assert live.policy.trained()[0].item() == 0.0
    live.move_to(9.0)
    live.check(step=2)
    assert live.policy.trained()[0].item() * 6 == pytest.approx(live.size - 1)


@given(start=st.floats(0.0, 2.0), moved=st.floats(-0.5, 2.5), maximum=st.floats(1.0, 2.0))
@settings(deadline=None)
def test_where_a_size_is_said_to_rest_the_policy_changes_nothing(start, moved, maximum):
    live = Live(min(start, maximum), maximum_share=maximum)
    live.check()
    gating = live.policy.gating(live.units)
    live.move_to(moved)
    rests = bool(((gating.weights >= gating.low) & (gating.weights <= gating.high)).all())
    within_an_epoch = replace(live.snapshot(), clock=Clock(1, 0, 10, 100))
    decisions = live.policy.decide(within_an_epoch)
    is_untouched = gating.weights.item() == moved
    assert not rests or (decisions == () and is_untouched)
    is_near = min(moved * 6 % 1, 1 - moved * 6 % 1) < 0.01 or moved > maximum - 0.01
    assert rests or is_near or decisions != () or not is_untouched


def test_checks_come_at_the_start_every_so_many_steps_and_at_epoch_ends():
    policy = NimblePolicy(replace(SETTINGS, check_steps=4))
    due = [step for step in range(13) if policy.due(Clock(step, step // 6, 6, 2)) is not None]
    assert due == [0, 4, 6, 8, 12]


def test_a_size_has_settled_when_its_whole_number_stays():
    live = Live(0.5)
    rests = []
    for step, share in enumerate([0.5, 0.6, 0.6, 0.61, 0.62]):
        live.move_to(share)
        live.check(step)
        rests.append(live.policy.at_rest(live.units, live.base))
    assert rests == [False, False, False, True, True]


def test_a_size_that_is_no_number_is_left_to_the_trainer():
    live = Live(0.5)
    live.check()
    live.move_to(math.nan)
    assert live.policy.decide(live.snapshot(1)) == ()


def cnn():
    return Cnn(CnnShape((1, 6, 6), (6, 4), 3, 0.0)), (2, 1, 6, 6)


def resnet_cifar():
    return ResnetCifar(ResnetCifarShape((3, 8, 8), (4, 8), (6, 8), 1, 3)), (2, 3, 8, 8)


def vit():
    models = pytest.importorskip("torchvision.models")
    shape = {"image_size": 8, "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 12}
    return models.VisionTransformer(**shape, num_classes=3), (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("build", "groups"),
    [
        (cnn, {"blocks.0.0": 6, "blocks.1.0": 4}),
        (resnet_cifar, {"stages.0.0.conv1": 6, "stages.1.0.conv1": 8}),
        (vit, {f"encoder.layers.encoder_layer_{layer}.mlp.0": 12 for layer in range(2)}),
    ],
    ids=["cnn", "resnet_cifar", "vit"],
)
def test_sizes_of_every_kind_of_network_are_trained_without_a_jump_of_its_outputs(build, groups):
    torch.manual_seed(0)
    model, shape = build()
    model, inputs = model.double().eval(), torch.randn(shape, dtype=torch.float64)
    units = find_units(model, (inputs,))
    base = {group.name: group.size for group in units.groups}
    policy = NimblePolicy(replace(SETTINGS, size_input=True, maximum_share=1.5))
    policy.attach(units, CPU, torch.float64, torch.Generator().manual_seed(2))

    def outputs():
        parameters = gated_parameters(model, units, policy.gates(units))
        return functional_call(model, parameters | shifted_parameters(model, units, policy.shifts(units)), (inputs,))

    def change(decisions):
        nonlocal units
        for decision in decisions:
            if decision.fold is not None:
                fold_gates(model, units, decision.fold)
                fold_shifts(model, units, decision.shift)
            units = apply_plan(decision.plan, model)

    def snapshot(step):
        clock = Clock(step, step, 1, 100)
        return Snapshot(clock, units, base, None, None, None, torch.Generator().manual_seed(step))

    with torch.no_grad():
        for step, share in enumerate([0.5, 0.4, 0.61, 0.8, 0.9, 1.1, 1.1, 1.2, 1.2, 1.2]):
            policy.trained()[0].fill_(share)
            before = outputs()
            change(policy.decide(snapshot(step)))
            if step:  # the first look may cut neurons with open gates
                assert torch.allclose(outputs(), before, rtol=0, atol=1e-12)
        shares = dict(zip(groups, policy.trained()[0].tolist(), strict=True))
        whole = {name: math.floor(shares[name] * size + 0.5) for name, size in groups.items()}
        assert any(whole[name] > size for name, size in groups.items())
        gates = {name: gate * (torch.arange(len(gate)) < whole[name]) for name, gate in policy.gates(units).items()}
        parameters = gated_parameters(model, units, gates) | shifted_parameters(model, units, policy.shifts(units))
        expected = functional_call(model, parameters, (inputs,))
        change(policy.finish(snapshot(100)))
        assert {group.name: group.size for group in units.groups} == base | whole
        assert torch.allclose(model(inputs), expected, rtol=0, atol=1e-12)


def test_a_size_in_neurons_has_the_published_loss():
    live = Live(0.75, size_unit="neurons")
    assert live.policy.size_loss().item() == pytest.approx(0.1 * (0.75 * 6 - 0.5 * 6) ** 2)


def test_a_column_for_a_group_without_a_bias_is_refused_by_name():
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    policy = NimblePolicy(replace(SETTINGS, size_input=True))
    with pytest.raises(SurgeryError, match="group 0 has no bias"):
        policy.attach(find_units(model, (torch.zeros(2, 3),)), CPU, torch.float32, torch.Generator())
