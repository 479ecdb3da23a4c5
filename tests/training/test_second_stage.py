import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurosearch import names
from neurosearch.data.sampling import Sampling
from neurosearch.randomness import derive_seed
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.counts import PASSES_PER_STEP
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.records import TrialFailed
from neurosearch.training.second_stage import RetrainedClassifier, TauNormalisedClassifier, find_head
from neurosearch.training.tasks import Classification

CPU = torch.device("cpu")
GOLDEN = json.loads((Path(__file__).parent / "golden_tau_norm.json").read_text())
POLICIES = ("static", "periodic", "nimble")


def run(trainer):
    for _ in trainer.epochs():
        pass
    return trainer.finish()


def retrained(epochs=3, sampling="class_balanced"):
    task = Classification(CrossEntropy("cross_entropy", None), (25, 10, 6), ["a", "b", "c"])
    return RetrainedClassifier(epochs, 0.1, sampling, task)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_only_the_classifier_changes(build_trainer, policy, model):
    found, plain = run(build_trainer(policy, model, second_stage=retrained())), run(build_trainer(policy, model))
    head, _ = find_head(found.model, torch.zeros(1, 1, 4, 4))
    before, after = weights(plain.model), weights(found.model)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{head}.weight", f"{head}.bias"}
    assert found.units == plain.units


def test_a_new_classifier_is_that_of_the_plain_loop(build_trainer, training_settings, make_batches):
    trainer = build_trainer("static", "cnn", second_stage=retrained())
    for _ in trainer.epochs():
        pass
    batches, model = make_batches(CPU), trainer.model.eval()
    seed = derive_seed(training_settings.seed, "classifier")
    torch.manual_seed(seed)
    name, head = find_head(model, torch.zeros(1, 1, 4, 4))
    expected = nn.Linear(head.in_features, head.out_features)
    x, y = (torch.cat(each) for each in zip(*batches.train_as_is(), strict=True))
    seen = []
    with torch.no_grad(), head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        model(x)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=0.1, betas=(0.9, 0.999), weight_decay=0.01, fused=True)
    for epoch, rate in enumerate([0.1, 0.075, 0.025]):
        optimizer.param_groups[0]["lr"] = rate
        order = Sampling("class_balanced", 3).order(y, 3, epoch, derive_seed(seed, "order", epoch))
        for positions in order.tensor_split(batches.steps_per_epoch):
            optimizer.zero_grad()
            F.cross_entropy(expected(seen[0][positions]), y[positions]).backward()
            optimizer.step()
    final = trainer.finish().model.get_submodule(name)
    assert torch.allclose(final.weight, expected.weight, atol=1e-6)
    assert torch.allclose(final.bias, expected.bias, atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_stopped_anywhere_and_resumed_the_classifier_comes_out_the_same(build_trainer, policy, stop):
    choices = {"policy": policy, "model": "cnn", "dropout": 0.2, "second_stage": retrained()}
    whole, store = run(build_trainer(**choices)), MemoryCheckpointStore()
    stopped = build_trainer(**choices, store=store)
    list(itertools.islice(stopped.epochs(), stop))
    if stop == 6:
        stopped.finish()  # killed before anybody heard of it
    resumed = run(build_trainer(**choices, store=store))
    assert resumed.record.metrics[names.BALANCED_ACCURACY] == whole.record.metrics[names.BALANCED_ACCURACY]
    assert resumed.record.metrics[names.VALIDATION_LOSS] == whole.record.metrics[names.VALIDATION_LOSS]
    found, expected = weights(resumed.model), weights(whole.model)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_record_counts_on_and_an_event_notes_it(build_trainer):
    trainer = build_trainer("periodic", second_stage=retrained())
    final = run(trainer)
    last, metrics = trainer.history[-1], final.record.metrics
    assert (final.record.epoch, final.record.step) == (last.epoch + 3, last.step + 3 * 4)
    assert final.record.at_rest
    [event] = final.record.events
    assert (event.step, event.epoch, event.added, event.removed) == (last.step, 6, 0, 0)
    assert event.group == "layers.7"
    assert "3 epochs" in event.reason
    spent = metrics[names.TRAINING_MULTIPLY_ADDS] - last.metrics[names.TRAINING_MULTIPLY_ADDS]
    assert spent == 41 * metrics[names.MULTIPLY_ADDS] + PASSES_PER_STEP * 3 * 41 * (6 * 3)
    assert metrics[names.TASK_LOSS] != last.metrics[names.TASK_LOSS]


def test_the_epochs_before_it_do_not_know_of_it(build_trainer):
    found, plain = build_trainer(second_stage=retrained()), build_trainer()
    run(found), run(plain)
    timed = (names.IMAGES_PER_SECOND, names.EPOCH_SECONDS)
    for one, other in zip(found.history, plain.history, strict=True):
        assert {**one.metrics, **dict.fromkeys(timed)} == {**other.metrics, **dict.fromkeys(timed)}


def test_class_balanced_sampling_raises_the_recall_of_rare_classes(build_trainer):
    choices = {"model": "cnn", "epochs": 2, "learning_rate": 0.003}
    plain = run(build_trainer(**choices)).record.metrics
    found = run(build_trainer(**choices, second_stage=retrained(20))).record.metrics
    assert found[names.BALANCED_ACCURACY] > plain[names.BALANCED_ACCURACY]


@pytest.mark.parametrize("tau", sorted(GOLDEN["result"]))
def test_tau_normalised_weights_equal_the_official_ones(training_settings, tau):
    head = nn.Linear(3, 4).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor(GOLDEN["weight"], dtype=torch.float64))
    done = TauNormalisedClassifier(float(tau)).apply(head, head, None, training_settings)
    expected = GOLDEN["result"][tau]
    assert torch.allclose(head.weight, torch.tensor(expected["weight"], dtype=torch.float64), rtol=0, atol=1e-12)
    logits = head(torch.tensor(GOLDEN["feature"], dtype=torch.float64))
    assert torch.allclose(logits, torch.tensor(expected["logits"], dtype=torch.float64), rtol=0, atol=1e-12)
    assert (done.epochs, done.num_forward, done.multiply_adds) == (0, 0, 0)


def test_a_class_without_weights_stays_without_weights(training_settings):
    head = nn.Linear(3, 2)
    nn.init.zeros_(head.weight)
    TauNormalisedClassifier(1.0).apply(head, head, None, training_settings)
    assert torch.equal(head.weight, torch.zeros(2, 3))


def test_a_tau_normalised_network_is_the_one_that_is_scored(build_trainer):
    trainer = build_trainer("nimble", second_stage=TauNormalisedClassifier(1.0))
    final = run(trainer)
    _, head = find_head(final.model, torch.zeros(1, 1, 4, 4))
    assert torch.allclose(head.weight.norm(dim=1), torch.ones(3))
    assert torch.equal(head.bias, torch.zeros(3))
    assert final.record.epoch == 6
    assert "tau 1" in final.record.events[-1].reason
    with torch.no_grad():
        batches = trainer._batches
        x, y = (torch.cat(each) for each in zip(*batches.validation(), strict=True))
        loss = F.cross_entropy(final.model.eval()(x), y).item()
    assert final.record.metrics[names.VALIDATION_LOSS] == pytest.approx(loss, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_trial(build_trainer):
    trainer = build_trainer(second_stage=RetrainedClassifier(2, 1e38, "instance", retrained()._task), optimizer="sgd")
    with pytest.raises(TrialFailed, match="classifier's loss became"):
        run(trainer)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)),
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Unflatten(1, (3, 1))),
    ],
)
def test_a_network_that_does_not_end_with_a_linear_layer_is_refused_at_once(model):
    with pytest.raises(TrialFailed, match=r"training\.classifier: it needs a network whose outputs come straight"):
        find_head(model, torch.zeros(1, 4))


def test_the_head_is_found_where_it_stands_and_nothing_is_left_behind():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))).train()
    state = weights(model)
    assert find_head(model, torch.ones(1, 4)) == ("2.1", model[2][1])
    assert all(not module._forward_hooks for module in model.modules())
    assert all(module.training for module in model.modules())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_several_second_stages_share_one_training(build_trainer):
    store = MemoryCheckpointStore()
    plain = run(build_trainer(model="cnn", store=store))
    again = run(build_trainer(model="cnn", store=store, second_stage=TauNormalisedClassifier(0.0)))
    found, expected = weights(again.model), weights(plain.model)
    assert torch.equal(found["head.weight"], expected["head.weight"])
    assert not torch.equal(found["head.bias"], expected["head.bias"])
