import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosearch.neurons import Plan, SurgeryError, apply_plan, find_units, grow, growth_refusals, prune
from neurosearch.neurons.squares import sums_of_squares

EXACT = 1e-11
STARTS = ["zero_outgoing", "symmetric_pair", "shared_copy", "zero_incoming"]


def newest(units, counts):
    """Return the positions of units that a growth by some counts has added."""
    return {g.name: range(g.size, g.size + counts[g.name]) for g in units.groups if g.name in counts}


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), training=st.booleans(), start=st.sampled_from(STARTS))
def test_growing_keeps_the_function_and_the_running_statistics(growable, cases, trained, training, data, start):
    case = cases[data.draw(st.sampled_from(sorted(cases)), label="network")]
    model, inputs = case.model(), case.inputs()
    trained(model, inputs)
    units = find_units(model, (inputs,))
    model.train(training)
    counts = {name: 2 * data.draw(st.integers(0, 2)) for name in growable(units, start)}
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    after = apply_plan(grow(units, counts, start=start, generator=generator), model)
    assert after.sizes == tuple(group.size + counts.get(group.name, 0) for group in units.groups)
    assert (model(inputs) - twin(inputs)).abs().max() < EXACT
    restored = apply_plan(prune(after, newest(units, counts)), model)
    assert restored == units
    for (name, old), (_, new) in zip(twin.named_buffers(), model.named_buffers(), strict=True):
        assert torch.allclose(old.double(), new.double(), rtol=0, atol=EXACT), name


def unit_norms(units, index, tensors):
    inside = {name: value.detach() for name, value in tensors.items() if name in units.layout.tensors}
    return sums_of_squares(units, inside)[index]


@pytest.mark.parametrize("start", STARTS)
def test_new_units_get_gradients_within_two_steps_and_never_have_both_sides_zero(growable, case, trained, start):
    model, inputs = case.model(), case.inputs(16)
    trained(model, inputs)
    units = find_units(model, (inputs,))
    for name in growable(units, start):
        if "dead_at_zero" in units.layout.groups[units.layout.index[name]].obstacles:
            continue  # a rectified unit may be silent for all these inputs by chance
        twin = copy.deepcopy(model)
        twin_optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        after = apply_plan(grow(units, {name: 2}, start=start), twin, twin_optimizer)
        index = units.layout.index[name]
        new = slice(units.sizes[index], None)
        seen = torch.zeros(2, dtype=torch.bool)
        for _ in range(2):
            twin_optimizer.zero_grad()
            outputs = twin(inputs)
            outputs.backward(
                torch.randn(outputs.shape, dtype=outputs.dtype, generator=torch.Generator().manual_seed(3))
            )
            values = {key: parameter.grad for key, parameter in twin.named_parameters()}
            seen |= unit_norms(after, index, values)[new] > 0
            twin_optimizer.step()
        assert seen.all(), name
        assert (unit_norms(after, index, dict(twin.named_parameters()))[new] > 0).all(), name


def test_the_same_seed_gives_the_same_bytes(growable, case):
    inputs = case.inputs()
    results = []
    for _ in range(2):
        model = case.model()
        units = find_units(model, (inputs,))
        plan = grow(units, dict.fromkeys(growable(units), 3), generator=torch.Generator().manual_seed(5))
        apply_plan(plan, model)
        results.append((plan.to_json(), model.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(value, results[1][1][name]) for name, value in results[0][1].items())


def test_growth_of_a_normalised_group_is_refused_unless_allowed(cases):
    model, inputs = cases["transformer"].model(), cases["transformer"].inputs()
    units = find_units(model, (inputs,))
    with pytest.raises(SurgeryError, match=r"embed cannot grow with zero_outgoing: a mean or variance .*norm1"):
        grow(units, {"embed": 1})
    apply_plan(grow(units, {"embed": 1}, allow_inexact=True), model)
    assert model.norm1.normalized_shape == (7,)
    assert math.isfinite(model(inputs).sum().item())


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_noisy_copy_is_a_shared_copy_but_for_noise_on_its_incoming_weights(cases, noise):
    inputs, states = cases["mlp"].inputs(), []
    for start in ("shared_copy", "noisy_copy"):
        model = cases["mlp"].model()
        units = find_units(model, (inputs,))
        name, size = units.groups[0].name, units.groups[0].size
        plan = grow(units, {name: 3}, start, noise=noise, generator=torch.Generator().manual_seed(1))
        apply_plan(Plan.from_json(plan.to_json()), model)
        states.append(model.state_dict())
    shared, noisy = states
    weight = f"{name}.weight"
    assert all(torch.equal(shared[key], noisy[key]) for key in shared if key != weight)
    difference = noisy[weight] - shared[weight]
    assert (difference[:size] == 0).all()
    spread = shared[weight][:size].square().mean().sqrt()
    assert bool((difference[size:] != 0).all()) == (noise > 0)
    assert float(difference[size:].std()) <= 2 * noise * float(spread)


def test_groups_that_cannot_grow_are_told_with_the_reason(cases):
    units = find_units(cases["transformer"].model(), (cases["transformer"].inputs(),))
    refused = growth_refusals(units)
    assert "a mean or variance is taken over its units" in refused["embed"]
    assert "allow_inexact" not in refused["embed"]
    assert {group.name for group in units.groups} > set(refused)


class Curved(torch.nn.Module):
    """Units that go through a function with no slope at 0, or that multiply each other."""

    def __init__(self, function):
        super().__init__()
        self.first, self.gate, self.head = (torch.nn.Linear(*sizes) for sizes in ((4, 6), (4, 6), (6, 3)))
        self.function = function

    def forward(self, x):
        return self.head(self.function(self.first(x), self.gate(x)))


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a.square() + b,
        lambda a, b: a.abs() + b,
        lambda a, b: a.sign() + b,
        lambda a, b: torch.relu(a).sqrt() + b,
        lambda a, b: a * a + b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: torch.addcmul(a, a, b),
        lambda a, b: a[..., None].expand(-1, -1, 2).norm(dim=2) + b,
        lambda a, b: a[..., None].expand(-1, -1, 2).var(dim=2) + b,
        lambda a, b: (a[..., None, None] @ b[..., None, None]).flatten(1),
        lambda a, b: torch.where(torch.tensor([[True], [False]]), a, 1.0) + b,
        lambda a, b: torch.maximum(a, torch.ones(())) + b,
        lambda a, b: torch.lerp(a, torch.ones(2, 1), 0.5) + b,
        lambda a, b: (a[..., None] + torch.ones(3)).sum(2) + b,
        lambda a, b: F.pad(a[..., None], (0, 1), value=1.0).sum(2) + b,
        lambda a, b: torch.ones_like(a) - a + b,
        lambda a, b: F.linear(a[..., None], torch.ones(2, 1), torch.ones(2)).sum(2) + b,
        lambda a, b: F.layer_norm(a[..., None].expand(-1, -1, 2), (2,), None, torch.ones(2)).sum(2) + b,
    ],
)
def test_zero_incoming_is_refused_where_new_units_could_not_learn(function):
    units = find_units(Curved(function), (torch.randn(2, 4),))
    assert [group.name for group in units.groups] == ["first"]
    with pytest.raises(SurgeryError, match=r"cannot grow with zero_incoming: an operation on its units (has|does)"):
        grow(units, {"first": 2}, start="zero_incoming")
    grow(units, {"first": 2}, start="zero_outgoing")


class Kept(torch.nn.Module):
    """A parameter of one number per unit, and what is done with it."""

    def __init__(self, function):
        super().__init__()
        self.first, self.head = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
        self.own = torch.nn.Parameter(torch.rand(6))
        self.function = function

    def forward(self, x):
        return self.head(self.function(self.first(x), self.own))


@pytest.mark.parametrize(
    "function",
    [
        torch.maximum,
        lambda h, own: h * own + own,
        lambda h, own: h + torch.softmax(own[:, None].expand(-1, 2), 1).sum(1),
        lambda h, own: torch.addcmul(own, h, torch.ones(())),
    ],
)
def test_zero_incoming_is_refused_where_a_parameter_of_new_units_would_be_added_and_is_not_0(function):
    units = find_units(Kept(function), (torch.randn(2, 4),))
    with pytest.raises(SurgeryError, match="does not map 0 to 0"):
        grow(units, {"first": 2}, start="zero_incoming")
    grow(units, {"first": 2}, start="zero_outgoing")


@pytest.mark.parametrize(
    "function",
    [lambda a, b: a * b.mean(1, keepdim=True).exp(), lambda a, b: a * torch.empty(2, 1).bernoulli_(0.5) + b],
)
def test_zero_incoming_is_accepted_where_one_factor_of_a_product_is_shared_by_all_units(function):
    units = find_units(Curved(function), (torch.randn(2, 4),))
    assert growth_refusals(units, "zero_incoming") == {}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_new_weights_spread_as_old_ones_do_in_every_type_of_number(dtype):
    model = torch.nn.Sequential(*(torch.nn.Linear(*sizes, dtype=dtype) for sizes in ((256, 32), (32, 3))))
    with torch.no_grad():
        model[0].weight.mul_(5e-3)
    units = find_units(model, (torch.zeros(2, 256, dtype=dtype),))
    apply_plan(grow(units, {"0": 16}), model)
    old, new = (values.abs().float().square().mean().sqrt() for values in model[0].weight.detach().split(32))
    assert float(new / old) == pytest.approx(1, abs=0.1)
    if dtype.is_complex:
        assert (model[0].weight[32:].imag != 0).all()
