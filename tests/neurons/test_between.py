import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neurosearch.neurons import SurgeryError, apply_plan, find_units, gradmax_directions, grow
from neurosearch.neurons.between import Onlooker


class Between(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between, user):
        super().__init__()
        self.first, self.last = nn.Conv1d(2, 3, 3, padding=1), user
        self.between = between

    def forward(self, inputs):
        outputs = self.last(self.between(torch.tanh(self.first(inputs))))
        return outputs if outputs.ndim == 2 else outputs.mean(2)


def find_directions(model, zero):
    inputs, targets = torch.randn(4, 2, 6), torch.tensor([0, 1, 2, 0])
    units = find_units(model, (inputs,))
    directions = gradmax_directions(model, units, [(inputs, targets)], {"first": 2})
    assert directions["first"].zero == zero
    before = model(inputs).detach()
    apply_plan(grow(units, {"first": 2}, start="gradmax", directions=directions), model)
    torch.testing.assert_close(model(inputs), before)


@pytest.mark.parametrize(
    ("between", "user", "zero"),
    [
        (lambda x: x.mean(2), nn.Linear(3, 3), "incoming"),
        (lambda x: x.sum(dim=-1, keepdim=True).squeeze(-1), nn.Linear(3, 3), "incoming"),
        (lambda x: x.view(len(x), -1), nn.Linear(18, 3), "incoming"),
        (lambda x: F.interpolate(x, scale_factor=2), nn.Conv1d(3, 3, 2), "incoming"),
        (lambda x: F.avg_pool1d(x, 2).mul_(0.5) * 3, nn.Conv1d(3, 3, 2), "incoming"),
        (lambda x: F.adaptive_avg_pool1d(x, 2).flatten(1), nn.Linear(6, 3), "incoming"),
        (lambda x: F.max_pool1d(x, 3, stride=1, padding=1), nn.Conv1d(3, 3, 2), "outgoing"),
        (lambda x: F.adaptive_max_pool1d(F.relu_(x), output_size=2).reshape(len(x), -1), nn.Linear(6, 3), "outgoing"),
    ],
)
def test_what_is_between_two_layers_may_be_any_code(between, user, zero):
    torch.manual_seed(0)
    find_directions(Between(between, user), zero)


@pytest.mark.parametrize(
    ("between", "user", "message"),
    [
        (lambda x: x.transpose(1, 2), nn.Linear(3, 3), r"transpose between its layers changes the shape"),
        (lambda x: F.max_pool1d(x, 2, dilation=2), nn.Conv1d(3, 3, 2), r"max_pool1d between its layers is dilated"),
        (lambda x: F.avg_pool1d(x, 2) + F.max_pool1d(x, 2), nn.Conv1d(3, 3, 2), r"in several ways"),
        (lambda x: x * F.hardsigmoid(x).mean(2, keepdim=True), nn.Conv1d(3, 3, 2), r"in several ways"),
        (lambda x: x[:, :, 1:], nn.Conv1d(3, 3, 2), r"__getitem__ between its layers changes the shape"),
        (lambda x: x.amax(2), nn.Linear(3, 3), r"amax between its layers changes the shape"),
    ],
)
def test_what_cannot_be_done_again_to_new_units_is_refused_by_name(between, user, message):
    with pytest.raises(SurgeryError, match=rf"group first cannot grow with gradmax.*{message}.*zero_outgoing"):
        find_directions(Between(between, user), "incoming")


def watched(code, values):
    onlooker = Onlooker({})
    with onlooker:
        onlooker.follow("a", values)
        result = code(values)
    return onlooker.path("a", result), result


@pytest.mark.parametrize(
    "code",
    [
        lambda x: F.max_pool2d(F.relu(x), 2).flatten(1),
        lambda x: F.hardtanh_(x * 1, -0.5, 0.5).clamp(min=0).mean((2, 3)),
        lambda x: F.adaptive_avg_pool2d(x, (2, 1)).squeeze(-1).relu_().view(len(x), -1),
        lambda x: F.max_pool2d(x, 3, 1, 1, ceil_mode=True).sum(-1),
    ],
)
def test_a_path_does_again_what_the_code_did_for_any_number_of_units(code):
    path, result = watched(code, torch.randn(3, 4, 6, 6))
    assert path.is_bent
    values = torch.randn(5, 7, 6, 6)
    torch.testing.assert_close(path.real(values), code(values))
    assert path.linear(values).shape == code(values).shape
    assert path.linear(values).shape[2:] == result.shape[2:]


def test_the_stand_in_is_linear_and_its_slopes_are_its_transpose():
    path, _ = watched(lambda x: F.max_pool2d(torch.relu(x), 2, padding=1).flatten(1), torch.randn(3, 4, 6, 6))
    first, second = torch.randn(2, 3, 5, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(path.linear(first + 2 * second), path.linear(first) + 2 * path.linear(second))
    slopes = torch.randn_like(path.linear(first))
    back = path.linear_slopes(first.shape, slopes)
    torch.testing.assert_close((back * first).sum(), (slopes * path.linear(first)).sum())


def test_nothing_between_is_a_path_without_steps():
    path, _ = watched(lambda x: F.gelu(x) * 2, torch.randn(3, 4))
    assert path.steps == ()
    assert path.is_plain
    assert not path.is_bent
    assert not path.is_normed


def test_what_did_not_come_of_the_values_is_told():
    onlooker = Onlooker({})
    with onlooker:
        onlooker.follow("a", torch.zeros(2, 3))
        assert onlooker.path("a", torch.zeros(2, 3)) == "what is between its layers could not be followed"
