"""Code that reads a width as a number: where the number changes what the network computes, the width stays."""

import random
import warnings
from functools import lru_cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neurosearch.neurons import find_units


class Reading(nn.Module):
    """Two layers with a function of the hidden values, and of their number, in between."""

    def __init__(self, function, *, needs_values=False):
        super().__init__()
        self.width = 6
        self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.function, self.needs_values = function, needs_values

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        if self.needs_values and x.sum() > 1e9:
            hidden = 2 * hidden
        return self.head(self.function(self, hidden))


def inputs():
    return torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def times_tanh(count, hidden):
    for _ in range(count):
        hidden = torch.tanh(hidden)
    return hidden


READ = {
    "a divisor": lambda m, h: h / h.shape[1],
    "a power of it": lambda m, h: h * h.shape[1] ** -0.5,
    "by an attribute": lambda m, h: h * m.head.in_features**-0.5,
    "by a weight": lambda m, h: h / m.head.weight.size(1),
    "by the number of elements": lambda m, h: h * (h.numel() / h.shape[0]),
    "by an attribute that a reshape needs": lambda m, h: h.view(-1, m.width) / m.width,
    "an exponent": lambda m, h: h ** (h.shape[1] / 6),
    "a summand": lambda m, h: torch.add(h, h, alpha=h.shape[1]),
    "a bound": lambda m, h: h.clamp(max=1 / h.shape[1]),
    "a probability": lambda m, h: F.dropout(h, 1 / h.shape[1], training=m.training),
    "in training alone": lambda m, h: h / h.shape[1] if m.training else h,
    "a repetition": lambda m, h: times_tanh(h.shape[1], h),
    "a tensor": lambda m, h: h / torch.tensor(float(h.shape[1])),
    "a tensor on the device of another": lambda m, h: h / torch.tensor(float(h.shape[1]), device=h.device),
    "a new tensor": lambda m, h: h / h.new_tensor([float(h.shape[1])]),
    "a filling": lambda m, h: h * torch.full((1,), 1 / h.shape[1], device=h.device),
    "a sum of ones": lambda m, h: h / torch.ones(h.shape[1], device=h.device).sum(),
    "a place in a table": lambda m, h: h * torch.linspace(1, 2, 20)[h.shape[1]],
    "a place to begin at": lambda m, h: h * torch.linspace(1, 2, 20)[h.shape[1] : h.shape[1] + 2].sum(),
    "a narrow place to begin at": lambda m, h: h * torch.linspace(1, 2, 20).narrow(0, h.shape[1], 2).sum(),
    "a number to count from": lambda m, h: h * torch.arange(h.shape[1], h.shape[1] + 3).sum(),
    "a number to count to": lambda m, h: h * torch.linspace(0, h.shape[1], 3).sum(),
    "by how much to turn": lambda m, h: h * torch.linspace(1, 2, 20).roll(h.shape[1])[0],
    "a sum of numbers side by side": lambda m, h: h / torch.linspace(1, 1, 1).repeat_interleave(h.shape[1]).sum(),
    "a sum of one that is repeated": lambda m, h: h / torch.ones(1, device=h.device).expand(h.shape[1]).sum(),
    "places": lambda m, h: h * torch.arange(h.shape[1], device=h.device),
    "a bound on places": lambda m, h: h * (torch.arange(h.shape[1], device=h.device) < 4),
    "a range": lambda m, h: h * torch.linspace(0, 1, h.shape[1], device=h.device),
}


@pytest.mark.parametrize("needs_values", [False, True])
@pytest.mark.parametrize("name", list(READ))
def test_a_width_that_is_read_as_a_number_stays_and_the_reason_says_so(name, needs_values):
    units = find_units(Reading(READ[name], needs_values=needs_values).double(), (inputs(),))
    assert units.groups == ()
    reason = next(one.reason for one in units.frozen if (one.tensor, one.dimension) == ("first.weight", 0))
    assert any(words in reason for words in ("at another width", "numbered (arange)", "fixed size", "counts its"))


@pytest.mark.parametrize("needs_values", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda m, h: h + torch.zeros(h.shape[0], h.shape[1], dtype=h.dtype, device=h.device),
        lambda m, h: h * h.new_ones(h.shape[1]),
        lambda m, h: h.unflatten(1, (h.shape[1], 1)).expand(-1, h.shape[1], 4).mean(2) / 4,
        lambda m, h: h * 6**-0.5,
        lambda m, h: h * torch.tensor(0.5, device=h.device),
        lambda m, h: F.group_norm(h[..., None].expand(-1, -1, 2) + 1, h.shape[1], eps=1.0).sum(2) + h,
        lambda m, h: h.view(-1, m.width),
        lambda m, h: h * random.random(),
        lambda m, h: h if np.random.uniform() < 0.5 else 2 * h,  # noqa: NPY002
    ],
)
def test_sizes_and_numbers_that_no_width_changes_leave_it_dynamic(exact, function, needs_values):
    class Fixed(Reading):
        def forward(self, x):
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            return super().forward(x)

    model = Fixed(function, needs_values=needs_values).double()
    exact(model, inputs(), "first", [1, 4])


class Attention(nn.Module):
    """One head, scaled by the width of its keys as it is now."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(4, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        query, key, value = self.query(x), self.key(x), self.value(x)
        return self.out((query @ key.mT / query.shape[-1] ** 0.5).softmax(-1) @ value)


class Scaled(nn.Linear):
    """A layer whose weights are scaled by the number of its inputs."""

    def forward(self, x):
        return F.linear(x, self.weight * self.in_features**-0.5, self.bias)


def test_only_the_widths_that_are_read_stay(exact):
    model = Attention().double()
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    units = find_units(model, (x,))
    assert [group.name for group in units.groups] == ["value"]
    assert any("div with 3.0 instead of 2.8284271" in one.reason for one in units.frozen)
    exact(model, x, "value", [1])
    wide = nn.Sequential(
        nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), Scaled(6, 5), nn.Tanh(), nn.Linear(5, 3)
    )
    assert [(group.name, group.size) for group in find_units(wide, (torch.zeros(2, 4),)).groups] == [("0", 7), ("4", 5)]


def test_layers_of_one_class_are_frozen_for_one_reason():
    model = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(6, 6), nn.Tanh(), Scaled(6, 6), nn.Tanh())))
    units = find_units(model, (torch.zeros(2, 6),))
    assert [group.name for group in units.groups] == ["2", "6", "10"]
    reasons = {one.reason.split(":")[0] for one in units.frozen if one.tensor in {"0.weight", "4.weight", "8.weight"}}
    assert sum("2 (Scaled) computes something else at another width" in reason for reason in reasons) == 1


def new_spectral(layer):
    return nn.utils.parametrizations.spectral_norm(layer)


def old_spectral(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and in use
        return nn.utils.spectral_norm(layer)


@pytest.mark.parametrize("normalise", [new_spectral, old_spectral])
@pytest.mark.parametrize("place", [0, 2])
def test_units_of_a_spectrally_normalised_weight_stay(normalise, place):
    layers = [nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)]
    layers[place] = normalise(layers[place])
    units = find_units(nn.Sequential(*layers), (torch.zeros(2, 4),))
    assert units.groups == ()


def test_a_weight_that_is_a_product_of_two_keeps_its_rank_dynamic():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Parameter(torch.randn(5, 2)), nn.Parameter(torch.randn(2, 4))

        def forward(self, x):
            return F.linear(x, self.up @ self.down)

    units = find_units(nn.Sequential(LowRank(), nn.Tanh(), nn.Linear(5, 3)), (torch.zeros(2, 4),))
    assert [(group.name, group.size) for group in units.groups] == [("0", 5), ("0.up", 2)]


@pytest.mark.parametrize("needs_values", [False, True])
def test_code_that_keeps_what_it_computed_once_is_no_code_that_reads_a_width(exact, needs_values):
    @lru_cache
    def positions(count, device):
        return torch.arange(count, device=device).sin()[:, None]

    def adding(module, hidden):
        return hidden + positions(5, hidden.device).to(hidden.dtype)

    exact(Reading(adding, needs_values=needs_values).double(), inputs(), "first", [2])


@pytest.mark.parametrize("needs_values", [False, True])
def test_finding_units_draws_no_random_number_of_any_library(needs_values):
    def drawing(module, hidden):
        return hidden * random.random() * np.random.uniform() * torch.rand(1)  # noqa: NPY002

    model = Reading(drawing, needs_values=needs_values)
    states = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    assert [group.name for group in find_units(model, (torch.randn(2, 4, generator=torch.Generator()),)).groups]
    assert random.getstate() == states[0]
    assert repr(np.random.get_state()) == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
