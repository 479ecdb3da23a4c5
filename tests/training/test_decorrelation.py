import itertools

import pytest
import torch
from torch import nn

from neurosearch import names
from neurosearch.neurons import find_units, tree_correlation
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.decorrelation import Decorrelation
from neurosearch.training.records import TrialFailed


def run(trainer):
    for _ in trainer.epochs():
        pass
    return trainer.finish()


def assert_same_weights(one, other):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def mean_of(model, inputs):
    units = find_units(model, (inputs,))
    decorrelation = Decorrelation(1.0, model, units)
    decorrelation.watching(model, units)(inputs)
    return decorrelation.loss()


class Joined(nn.Module):
    """Two layers side by side, used by one."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.out = nn.Linear(4, 3), nn.Linear(4, 5), nn.Linear(8, 2)

    def forward(self, inputs):
        return self.out(torch.cat([self.left(inputs).tanh(), self.right(inputs)], 1))


def test_every_group_counts_once_with_its_activations_where_they_are_used():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    inputs = torch.randn(20, 4)
    expected = (tree_correlation(dense[:2](inputs)) + tree_correlation(dense[:4](inputs))) / 2
    assert torch.equal(mean_of(dense, inputs), expected)

    joined = Joined()
    expected = (tree_correlation(joined.left(inputs).tanh()) + tree_correlation(joined.right(inputs))) / 2
    assert mean_of(joined, inputs).item() == pytest.approx(expected.item())


def test_the_samples_of_a_channel_are_all_its_places_before_and_after_flattening():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2)
    )
    inputs = torch.randn(6, 1, 6, 6)
    places = [model[:end](inputs).movedim(1, -1).flatten(0, -2) for end in (2, 4)]
    assert [tuple(each.shape) for each in places] == [(6 * 16, 4), (6 * 4, 3)]
    expected = sum(tree_correlation(each) for each in places) / 2
    assert mean_of(model, inputs).item() == pytest.approx(expected.item())


def test_no_hook_outlives_a_pass_even_one_that_breaks():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    units = find_units(model, (torch.zeros(2, 4),))
    watching = Decorrelation(1.0, model, units).watching(model, units)
    with pytest.raises(RuntimeError):
        watching(torch.zeros(2, 5))
    watching(torch.zeros(2, 4))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_network_without_hidden_neurons_is_refused_and_one_of_lone_neurons_has_no_term():
    with pytest.raises(TrialFailed, match=r"^training\.decorrelation: it needs neurons that a plain linear"):
        mean_of(nn.Sequential(nn.Linear(4, 2)), torch.zeros(2, 4))
    assert mean_of(nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 2)), torch.randn(5, 4)).item() == 0


def test_watching_changes_nothing_and_without_a_coefficient_nothing_is_watched(build_trainer):
    plain, watched = build_trainer(model="cnn", dropout=0.2), build_trainer(model="cnn", dropout=0.2)
    watched._decorrelation = Decorrelation(0.0, watched.model, watched.units)
    run(plain)
    run(watched)
    assert_same_weights(plain.model, watched.model)
    assert names.TREE_CORRELATION not in plain.history[-1].metrics
    assert 0 < watched.history[-1].metrics[names.TREE_CORRELATION] < 1


def test_correlations_cost_what_they_are_charged(build_trainer):
    plain, watched = (build_trainer(decorrelation=coefficient, epochs=1) for coefficient in (0.0, 0.5))
    run(plain)
    run(watched)
    spent = [trainer.history[-1].metrics[names.TRAINING_MULTIPLY_ADDS] for trainer in (plain, watched)]
    assert spent[1] - spent[0] == 3 * 41 * (8**2 + 6**2)


def test_neurons_that_were_almost_twins_part(build_trainer):
    correlations = {}
    for coefficient in (0.0, 1.0):
        trainer = build_trainer(decorrelation=coefficient, warmup_epochs=0)
        first, user = (module for module in trainer.model.modules() if getattr(module, "in_features", 0) in {16, 8})
        with torch.no_grad():
            first.weight[1] = first.weight[0] + 0.1 * first.weight[2]
        found = []
        for _ in range(2):
            seen = []
            handle = user.register_forward_pre_hook(lambda _module, inputs, seen=seen: seen.append(inputs[0].detach()))
            trainer.model.eval()(next(trainer._batches.train_as_is())[0])
            handle.remove()
            found.append(torch.corrcoef(seen[0].T)[0, 1].item())
            list(trainer.epochs())
        assert found[0] > 0.99
        correlations[coefficient] = found[1]
    assert correlations[1.0] < correlations[0.0] - 0.1


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_neurons_become_less_alike_than_without_it_and_the_network_still_learns(build_trainer, model):
    likeness = {}
    for coefficient in (0.0, 1.0):
        trainer = build_trainer(model=model, decorrelation=coefficient, learning_rate=0.03, epochs=12)
        run(trainer)
        assert trainer.history[-1].metrics[names.BALANCED_ACCURACY] > 0.8
        likeness[coefficient] = mean_of(trainer.model.eval(), next(trainer._batches.train_as_is())[0]).item()
    assert likeness[1.0] < likeness[0.0] - 0.1


@pytest.mark.parametrize("policy", ["static", "periodic", "wide_then_prune", "nimble", "mask"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_decorrelated_training_stopped_and_resumed_equals_uninterrupted(build_trainer, policy, model):
    choices = {"policy": policy, "model": model, "decorrelation": 0.5, "dropout": 0.1, "epochs": 4}
    whole, store = build_trainer(**choices), MemoryCheckpointStore()
    final = run(whole)
    assert policy in {"static", "mask"} or whole.events
    list(itertools.islice(build_trainer(**choices, store=store).epochs(), 2))
    resumed = build_trainer(**choices, store=store)
    again = run(resumed)
    assert_same_weights(whole.model, resumed.model)
    for name in (names.TREE_CORRELATION, names.TRAINING_MULTIPLY_ADDS):
        assert final.record.metrics[name] == again.record.metrics[name]


def test_a_checkpoint_of_another_coefficient_is_refused(build_trainer):
    store = MemoryCheckpointStore()
    next(build_trainer(decorrelation=0.5, store=store).epochs())
    with pytest.raises(ValueError, match=r"other settings \(decorrelation\)"):
        build_trainer(decorrelation=0.1, store=store)
