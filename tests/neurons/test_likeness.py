from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neurosearch.neurons import Merge, SurgeryError, Twins, find_units, merges_of, near_duplicates


class Between(nn.Module):
    """Something between the layer that makes units and the one that uses them."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 4, 1), nn.Conv1d(4, 3, 1)
        self.between = between

    def forward(self, x):
        return self.second(self.between(F.relu(self.first(x)), x))


def pairs_of(between, factor):
    torch.manual_seed(0)
    model = Between(between).double()
    with torch.no_grad():
        model.first.weight[3], model.first.bias[3] = factor * model.first.weight[1], factor * model.first.bias[1]
    units = find_units(model, (torch.randn(2, 2, 5, dtype=torch.float64),))
    return near_duplicates(model, units, 1.0)["first"]


SCALES = {
    "nothing": lambda h, _: h,
    "leaky": lambda h, _: F.leaky_relu(h - 2 * h),
    "size": lambda h, _: (-h).abs() / 3,
    "factor of the example": lambda h, x: h * x[:, :1] / x[:, 1:].exp(),
    "sum": lambda h, _: h + torch.maximum(h, 2 * h).mean(2, keepdim=True),
    "pooling": lambda h, _: F.max_pool1d(h, 2) + F.avg_pool1d(h, 2),
    "zero padding": lambda h, _: F.pad(h, (1, 1)),
    "zeros": lambda h, _: h + torch.zeros_like(h),
    "dropout": lambda h, _: F.dropout(h, 0.5, training=False),
}
BENDS = {
    "activation": lambda h, _: torch.tanh(h),
    "relu6": lambda h, _: F.relu6(h),
    "square": lambda h, _: h * h,
    "quotient": lambda h, _: 1 / (1 + h),
    "quotient of units": lambda h, _: h / (h + h.mean(2, keepdim=True)),
    "constant": lambda h, _: h + 1,
    "constant to take from": lambda h, _: 1 - h,
    "ones": lambda h, _: h - torch.ones_like(h),
    "number of the example": lambda h, x: h + x[:, :1],
    "floor": lambda h, _: torch.maximum(h, h.new_full((), 0.1)),
    "padding": lambda h, _: F.pad(h, (1, 1), value=1.0),
    "normalisation": lambda h, _: F.instance_norm(h),
    "variance": lambda h, _: h.var(2, keepdim=True),
    "softmax": lambda h, _: h.softmax(2),
}


@pytest.mark.parametrize("kind", SCALES)
def test_where_output_scales_with_the_weights_parallel_units_are_near_duplicates(kind):
    found = pairs_of(SCALES[kind], 3.0)
    assert found.pairs.tolist() == [[1, 3]]
    assert found.ratios.tolist() == [pytest.approx(1 / 3)]


@pytest.mark.parametrize("kind", BENDS)
def test_everywhere_else_only_equal_ones_are(kind):
    assert pairs_of(BENDS[kind], 3.0).pairs.tolist() == []
    found = pairs_of(BENDS[kind], 1.0)
    assert (found.pairs.tolist(), found.ratios.tolist()) == ([[1, 3]], [1.0])


def test_the_threshold_is_on_the_cosine_and_lowered_where_lengths_must_agree():
    angle = torch.tensor(0.3, dtype=torch.float64)
    for activation, length, expected in (
        (nn.ReLU, 5.0, angle.cos()),
        (nn.Tanh, 1.0, angle.cos()),
        (nn.Tanh, 2.0, angle.cos() * 4 / 5),
    ):
        model = nn.Sequential(nn.Linear(1, 2), activation(), nn.Linear(2, 1)).double()
        with torch.no_grad():  # the bias counts as a weight
            model[0].weight.copy_(torch.stack([torch.ones_like(angle), length * angle.cos()])[:, None])
            model[0].bias.copy_(torch.stack([torch.zeros_like(angle), length * angle.sin()]))
        units = find_units(model, (torch.zeros(2, 1, dtype=torch.float64),))
        found = near_duplicates(model, units, float(expected) - 1e-6)["0"]
        assert found.likeness.tolist() == [pytest.approx(float(expected))]
        assert near_duplicates(model, units, float(expected) + 1e-6)["0"].pairs.tolist() == []


def test_statistics_of_a_normalisation_must_agree_too(cases, twin):
    inputs = cases["mlp"].inputs()
    for entry in ("2.weight", "2.bias", "2.running_mean", "2.running_var"):
        model = cases["mlp"].model()
        units = find_units(model, (inputs,))
        twin(model, units, "1", 3, 0)
        assert near_duplicates(model, units, 0.999)["1"].pairs.tolist() == [[0, 3]]
        model.state_dict()[entry][3] += 2
        assert near_duplicates(model, units, 0.999)["1"].pairs.tolist() == []


def test_units_without_weights_have_no_direction_but_are_equal():
    for activation, pairs in ((nn.ReLU, []), (nn.Tanh, [[0, 1]])):
        model = nn.Sequential(nn.Linear(2, 3), activation(), nn.Linear(3, 1))
        with torch.no_grad():
            model[0].weight[:2], model[0].bias[:2] = 0, 0
        found = near_duplicates(model, find_units(model, (torch.zeros(2, 2),)), 1.0)["0"]
        assert found.pairs.tolist() == pairs


def test_wide_groups_are_compared_in_parts(monkeypatch, cases):
    model, inputs = cases["mlp_relu"].model(), cases["mlp_relu"].inputs()
    units = find_units(model, (inputs,))
    whole = near_duplicates(model, units, 0.01)["1"]
    monkeypatch.setattr("neurosearch.neurons.likeness._ROWS", 2)
    parts = near_duplicates(model, units, 0.01)["1"]
    assert len(whole.pairs)
    assert torch.equal(parts.pairs, whole.pairs)
    assert torch.allclose(parts.likeness, whole.likeness)


def test_a_removed_unit_goes_to_the_most_alike_one_that_stays_and_the_earlier_in_a_tie():
    pairs = torch.tensor([[0, 2], [1, 2], [2, 3], [2, 4], [3, 4], [0, 5]])
    ratios = torch.tensor([0.5, 2.0, 3.0, 4.0, 1.0, 1.0], dtype=torch.float64)
    of = partial(Twins, pairs, ratios=ratios)
    assert merges_of(of(likeness=torch.tensor([0.9, 0.95, 0.9, 0.95, 1.0, 1.0])), [2]) == (Merge(2, 1, 0.5),)
    assert merges_of(of(likeness=torch.tensor([0.9, 0.95, 0.9, 0.99, 1.0, 1.0])), [2]) == (Merge(2, 4, 4.0),)
    assert merges_of(of(likeness=torch.ones(6)), [3, 4, 2]) == (Merge(2, 0, 2.0),)
    assert merges_of(of(likeness=torch.ones(6)), [5, 0]) == (Merge(0, 2, 0.5),)
    assert merges_of(of(likeness=torch.ones(6)), []) == ()


@pytest.mark.parametrize("threshold", [0.0, 1.1, -0.5])
def test_a_threshold_out_of_range_is_refused(cases, threshold):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    with pytest.raises(SurgeryError, match="Pass one above 0"):
        near_duplicates(model, find_units(model, (inputs,)), threshold)
