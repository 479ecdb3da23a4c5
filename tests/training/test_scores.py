import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neurosearch.growth.policy import NOTHING, Need
from neurosearch.neurons import find_units
from neurosearch.randomness import derive_seed
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.records import TrialFailed
from neurosearch.training.scores import Measured, head_classes, measure, only_classes, tail_classes
from neurosearch.training.tasks import Classification

TASK = Classification(CrossEntropy("cross_entropy", None), (9, 5, 2), ("a", "b", "c"))


class Examples:
    """Batches of three classes, as far as measuring needs them."""

    class_counts = (9, 5, 2)

    def balanced(self, per_class, seed):
        targets = torch.arange(3).repeat(per_class)
        noise = torch.randn(len(targets), 4, generator=torch.Generator().manual_seed(seed % 2**32))
        return [(torch.eye(3, 4)[targets] + noise, targets)]


class Residual(nn.Module):
    """A trunk that two layers make."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, inputs):
        trunk = self.stem(inputs)
        return self.head(trunk + F.gelu(self.inner(trunk)))


def measured(need, model, seed=0):
    torch.manual_seed(0)
    return measure(need, model, find_units(model, (torch.zeros(2, 4),)), Examples(), TASK, 5, seed)


def test_only_what_is_needed_is_measured_and_every_example_counts():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    found = measured(NOTHING, model)
    assert found == Measured(None, None, None, None, None, None, 0)
    found = measured(Need("taylor", head_scores=True, directions=None), model)
    assert (set(found.scores), set(found.head_scores), found.directions) == ({"0"}, {"0"}, None)
    assert found.num_examples == 15 + 5
    found = measured(Need(None, head_scores=False, directions={"0": 2}), model)
    assert (found.scores, found.head_scores) == (None, None)
    assert len(found.directions["0"].vectors) == 2
    assert found.num_examples == 2 * 15


def test_directions_follow_from_the_seed():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    need = Need(None, head_scores=False, directions={"0": 2})
    assert measured(need, model).directions == measured(need, model).directions
    assert measured(need, model).directions != measured(need, model, seed=1).directions


def test_a_network_that_cannot_be_measured_ends_the_trial_with_a_reason_that_says_what_to_choose():
    need = Need(None, head_scores=False, directions={"stem": 2})
    with pytest.raises(
        TrialFailed, match=r"growth\.start: gradmax does not fit this network: group stem .*such as zero"
    ):
        measured(need, Residual())
    need = Need("activation", head_scores=False, directions=None)
    with pytest.raises(TrialFailed, match=r"growth\.importance: activation does not fit this network: group 1.*taylor"):
        measured(need, nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 4), Last(nn.GRU(4, 3, batch_first=True))))


def test_demand_is_the_tail_classes_share_of_the_gradient_of_every_group():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    found = measured(Need(None, head_scores=False, directions=None, demand=True), model)
    assert (found.scores, found.directions, found.num_examples) == (None, None, 15)
    (inputs, targets), norms = Examples().balanced(5, derive_seed(0, "examples"))[0], {}
    for name, chosen in (("tail", targets == 2), ("rest", targets != 2)):
        model.zero_grad()
        F.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
        parts = (model[0].weight, model[0].bias, model[2].weight)  # what makes the first group's units and uses them
        norms[name] = float(torch.cat([part.grad.flatten() for part in parts]).norm())
    assert found.demand.keys() == {"0", "2"}
    assert found.demand["0"] == pytest.approx(norms["tail"] / (norms["tail"] + norms["rest"]))
    assert 0 < found.demand["2"] < 1


def test_directions_are_not_asked_of_a_group_that_cannot_grow():
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    found = measured(Need(None, head_scores=False, directions={"0": 2, "2": 2}), model)
    assert found.directions.keys() == {"2"}


def test_what_could_be_explained_is_asked_of_the_groups_that_gradmax_fits():
    need = Need(None, head_scores=False, directions=None, explained={"0": 2, "2": 2})
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    found = measured(need, model)
    assert found.explained.keys() == {"2"}
    assert 0 < found.explained["2"] <= 1
    assert found.num_examples == 2 * 15
    need = Need(None, head_scores=False, directions=None, explained={"stem": 2})
    with pytest.raises(TrialFailed, match=r"growth\.explained_share does not fit this network: group stem .*Or set"):
        measured(need, Residual())


class Last(nn.Module):
    """The last output of a recurrent layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, inputs):
        return self.layer(inputs)[0][:, -1]


@given(st.lists(st.integers(1, 50), min_size=2, max_size=12))
def test_tail_classes_are_the_smallest_third_and_no_head_class_where_there_are_two_others(class_counts):
    tail = tail_classes(class_counts)
    rest = [count for label, count in enumerate(class_counts) if label not in tail]
    assert len(tail) == -(-len(class_counts) // 3)
    assert max(class_counts[label] for label in tail) <= min(rest)
    assert not set(tail) & set(head_classes(class_counts))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_head_classes_are_the_largest_third(class_counts):
    head = head_classes(class_counts)
    rest = [count for label, count in enumerate(class_counts) if label not in head]
    assert len(head) == -(-len(class_counts) // 3)
    assert not rest or min(class_counts[label] for label in head) >= max(rest)


def test_the_earlier_class_wins_a_tie():
    assert head_classes([5, 5, 5, 5]) == [0, 1]


def test_only_examples_of_the_classes_stay_and_empty_batches_go():
    batches = [
        (torch.arange(4.0).view(4, 1), torch.tensor([0, 1, 2, 1])),
        (torch.arange(2.0).view(2, 1), torch.tensor([0, 0])),
    ]
    kept = only_classes(batches, [1, 2])
    assert [(x.flatten().tolist(), y.tolist()) for x, y in kept] == [([1.0, 2.0, 3.0], [1, 2, 1])]
