"""What single operations mean for units, by brute force on small networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from neurosearch.neurons import SurgeryError, apply_plan, find_units, gated_parameters, grow, growth_refusals, prune
from neurosearch.neurons.labels import Obstacle


class Between(nn.Module):
    """A layer that makes six units, a function of them, and a layer that uses what comes out."""

    def __init__(self, function, width=6, **parts):
        super().__init__()
        self.first, self.head = nn.Linear(4, 6), nn.Linear(width, 3)
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, x):
        return self.head(self.function(self, self.first(x)))


def reasons(model, inputs, tensor="first.weight"):
    return [one.reason for one in find_units(model, (inputs,)).frozen if one.tensor == tensor]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(5), nn.GroupNorm(1, 5), nn.InstanceNorm1d(5)])
def test_units_over_which_the_channels_of_a_norm_are_normalised_do_not_grow_unasked(norm):
    units = find_units(Between(lambda model, h: model.norm(h), norm=norm), (torch.randn(2, 5, 4),))
    assert [group.name for group in units.groups] == ["first"]
    assert "a mean or variance is taken over its units" in growth_refusals(units)["first"]
    grow(units, {"first": 1}, allow_inexact=True)


def test_a_norm_over_something_else_makes_no_twins_of_units_that_are_in_proportion():
    model = Between(lambda model, h: model.norm(h.transpose(1, 2)).transpose(1, 2), norm=nn.LayerNorm(5))
    facts = find_units(model, (torch.randn(2, 5, 4),)).layout.groups[0]
    assert {Obstacle.BENDS, Obstacle.MOVES_ZERO} <= facts.obstacles.keys()


def test_padding_that_cuts_off_as_many_positions_as_it_adds_moves_units():
    model = Between(lambda _, h: F.pad(h, (1, -1)))
    assert any("positions are padded to it" in reason for reason in reasons(model, torch.randn(2, 4)))


def test_units_that_code_cuts_at_a_share_of_all_are_frozen():
    def cut(_, h):
        less, more = h.split([h.shape[1] // 3, h.shape[1] - h.shape[1] // 3], 1)
        return torch.cat([torch.relu(less), torch.tanh(more)], 1)

    assert any("would move others to another part" in reason for reason in reasons(Between(cut), torch.randn(2, 4)))


def test_parts_at_a_share_of_all_are_frozen_even_where_all_of_them_fit_one_wider_run():
    def cut(model, h):
        less, more = h.split([h.shape[1] // 3, h.shape[1] - h.shape[1] // 3], 1)
        return model.less(less) + model.more(more)

    model = Between(cut, width=7, less=nn.Linear(2, 7), more=nn.Linear(4, 7))
    assert "first" not in find_units(model, (torch.randn(2, 4),)).layout.index
    assert any("at another width" in reason for reason in reasons(model, torch.randn(2, 4), "more.weight"))


class Heads(nn.Module):
    """Weights of three dimensions, as in einsum notation."""

    def __init__(self):
        super().__init__()
        self.make, self.use = nn.Parameter(torch.randn(4, 3, 5)), nn.Parameter(torch.randn(3, 5, 3))

    def forward(self, x):
        return torch.einsum("bhk,hke->be", torch.tanh(torch.einsum("bd,dhk->bhk", x, self.make)), self.use)


def test_weights_of_three_dimensions_make_and_use_units(exact):
    exact(Heads().double(), torch.randn(4, 4, dtype=torch.float64), "make", [1])


class TwoUsers(nn.Module):
    """Units that a plain layer uses, and a view of a parameter."""

    def __init__(self):
        super().__init__()
        self.first, self.head, self.other = nn.Linear(4, 6), nn.Linear(6, 3), nn.Parameter(torch.randn(12, 3))
        self.num_parts = 2

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.head(hidden) + (hidden @ self.other.view(self.num_parts, -1, 3)).sum(0)


def test_a_gate_reaches_a_view_of_a_weight_and_growth_that_could_not_is_refused():
    model, inputs = TwoUsers().double(), torch.randn(5, 4, dtype=torch.float64)
    units = find_units(model, (inputs,))
    gate = torch.ones(6, dtype=torch.float64)
    gate[2] = 0
    expected = functional_call(model, gated_parameters(model, units, {"first": gate}), (inputs,))
    pruned = copy.deepcopy(model)
    apply_plan(prune(units, {"first": [2]}), pruned)
    assert (pruned(inputs) - expected).abs().max() < 1e-12
    with pytest.raises(SurgeryError, match="does two things for its units"):
        grow(units, {"first": 2})


def test_a_map_that_is_expanded_as_the_units_are_leaves_them_dynamic(exact):
    model = Between(lambda model, h: h * torch.sigmoid(model.map(h)).expand_as(h), map=nn.Linear(6, 1)).double()
    exact(model, torch.randn(4, 4, dtype=torch.float64), "first", [3])


def test_random_numbers_around_units_have_their_widths():
    class Latent(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.spread, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            mean, spread = self.mean(x), F.softplus(self.spread(x))
            return self.head(torch.normal(mean, spread) + torch.normal(0.0, 1.0, mean.shape))

    model, inputs = Latent(), torch.randn(2, 4)
    units = find_units(model, (inputs,))
    assert [(group.name, group.size) for group in units.groups] == [("mean", 6)]
    apply_plan(prune(units, {"mean": [1]}), model)
    assert model(inputs).shape == (2, 3)


def test_a_mask_of_two_dimensions_picks_from_both():
    mask = torch.arange(30).view(5, 6) % 2 == 0
    model = Between(lambda model, h: h[:, model.mask].unflatten(1, (5, 3)).sum(2, keepdim=True), width=1, mask=mask)
    assert any("picked by index" in reason for reason in reasons(model, torch.randn(2, 5, 4)))


class Image(nn.Module):
    """Two convolutions with a function between them."""

    def __init__(self, function, made, used):
        super().__init__()
        self.first, self.head = nn.Conv2d(2, made, 1), nn.Conv2d(used, 3, 1)
        self.function = function

    def forward(self, x):
        return self.head(self.function(torch.tanh(self.first(x))))


@pytest.mark.parametrize(
    ("function", "made", "used", "size"),
    [
        (lambda h: F.pixel_shuffle(h, 2), 12, 3, 3),
        (lambda h: F.pixel_unshuffle(h, 2), 3, 12, 3),
        (lambda h: F.channel_shuffle(h, 2), 6, 6, 3),
        (lambda h: F.glu(h, 1), 6, 3, 3),
    ],
)
def test_channels_that_are_rearranged_come_and_go_together(exact, function, made, used, size):
    model, inputs = Image(function, made, used).double(), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    assert [(group.name, group.size) for group in find_units(model, (inputs,)).groups] == [("first", size)]
    exact(model, inputs, "first", [1])


@pytest.mark.parametrize("name", ["first", "second", "both"])
def test_a_bilinear_layer_makes_and_uses_units(exact, name):
    class Pairing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.both = nn.Linear(4, 5), nn.Linear(4, 6), nn.Bilinear(5, 6, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(torch.tanh(self.both(torch.tanh(self.first(x)), torch.tanh(self.second(x)))))

    pruned = exact(Pairing().double(), torch.randn(3, 4, dtype=torch.float64), name, [1])
    both = pruned.both
    assert (both.out_features, both.in1_features, both.in2_features) == tuple(both.weight.shape)


@pytest.mark.parametrize(
    ("function", "is_dynamic"),
    [
        (lambda _, h: (2 * h).unsqueeze_(-2).transpose_(1, 2).squeeze(2), True),
        (lambda _, h: h[:, None].squeeze_(1), False),
    ],
)
def test_a_shape_that_is_changed_in_place_is_followed_or_refused(exact, function, is_dynamic):
    model, inputs = Between(function).double(), torch.randn(2, 4, dtype=torch.float64)
    if is_dynamic:
        exact(model, inputs, "first", [1])
    else:
        assert any("squeeze_" in reason for reason in reasons(model, inputs))


@pytest.mark.parametrize(
    "function",
    [
        lambda _, h: h.index_select(1, torch.tensor([3, 0, 0])),
        lambda _, h: h.sort(1)[0],
        lambda _, h: h.sort(dim=1, stable=True, descending=True)[0],
        lambda _, h: h.topk(2, 1)[0],
    ],
)
def test_what_picks_or_orders_places_leaves_units_dynamic_and_places_fixed(exact, function):
    model, inputs = Between(function).double(), torch.randn(2, 5, 4, dtype=torch.float64)
    exact(model, inputs, "first", [1])
    swapped = Between(lambda model, h: function(model, h.transpose(1, 2)).mean(1, keepdim=True), width=5)
    assert any("picked or ordered" in reason for reason in reasons(swapped, torch.randn(2, 5, 4)))
