import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neurosearch import names
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import PeriodicPolicy, StaticPolicy
from neurosearch.models import Mlp, MlpShape
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy, class_balanced_weights
from neurosearch.training.tasks import Classification, Regression
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")


def part(count, seed):
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    y = np.stack([x[:, 0] * x[:, 1], np.sin(2 * x[:, 2])], 1)
    return Arrays(x, y.astype(np.float32))


def build(settings, store, policy):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Mlp(MlpShape((3,), (8, 6), 2, "relu", "batch", 0.1))
    return Trainer(
        settings=settings,
        model=model,
        batches=ArrayBatches(part(41, 0), part(20, 1), 10, 7, CPU, 0),
        task=Regression("mse", ["product", "sine"], [1.0, 2.0]),
        policy=policy,
        checkpoints=store,
        device=CPU,
        example_inputs=(torch.zeros(2, 3),),
    )


@pytest.fixture
def periodic(growth_settings):
    return lambda: PeriodicPolicy(replace(growth_settings[0], importance="taylor", protected_share=0.0))


def test_regression_learns_and_grows_and_prunes(training_settings, periodic):
    trainer = build(replace(training_settings, epochs=12, importance_examples=16), MemoryCheckpointStore(), periodic())
    records = list(trainer.epochs())
    assert sum(event.added for record in records for event in record.events) > 0
    assert records[-1].metrics[names.RMSE] < records[0].metrics[names.RMSE]


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_regression_goes_on_bit_for_bit(training_settings, periodic, stop_after):
    whole = build(training_settings, MemoryCheckpointStore(), periodic())
    list(whole.epochs())
    store = MemoryCheckpointStore()
    epochs = build(training_settings, store, periodic()).epochs()
    for _ in range(stop_after):
        next(epochs)
    resumed = build(training_settings, store, periodic())
    list(resumed.epochs())
    ours, theirs = whole.finish().model.state_dict(), resumed.finish().model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_each_loss_of_regression_is_finite_and_zero_for_the_truth(loss):
    task = Regression(loss, ["a", "b"], [1.0, 1.0])
    targets = torch.tensor([[0.5, -3.0], [2.0, 1.0]])
    assert task.loss(targets, targets) == 0
    assert 0 < task.loss(targets + 2, targets) < torch.inf
    assert task.weight(targets) == 2


def test_huber_turns_absolute_beyond_one_deviation():
    task = Regression("huber", ["a"], [1.0])
    assert task.loss(torch.tensor([[5.0]]), torch.zeros(1, 1)).item() == 4.5


def test_classes_without_weights_count_as_many_as_they_are():
    task = Classification(CrossEntropy("cross_entropy", None), [5, 5], ["a", "b"])
    assert task.weight(torch.tensor([0, 1, 1])) == 3


def test_a_static_network_learns_too(training_settings):
    trainer = build(training_settings, MemoryCheckpointStore(), StaticPolicy())
    assert [record.epoch for record in trainer.epochs()] == list(range(1, 7))


GOLDEN = json.loads(Path(__file__).with_name("golden_losses.json").read_text())
COUNTS = (25, 10, 6)  # of the shared tiny problem


def classification(**changes):
    return Classification(CrossEntropy("cross_entropy", None), COUNTS, ["a", "b", "c"], **changes)


def reweighted(share):
    late = CrossEntropy("cross_entropy", class_balanced_weights(COUNTS, 0.9999))
    return {"late_loss": late, "late_share": share}


@pytest.mark.parametrize(("share", "epochs", "first"), [(0.2, 200, 160), (0.2, 4, 3), (0.01, 4, 3), (1.0, 4, 0)])
def test_deferred_weights_begin_in_the_last_share_of_the_epochs(share, epochs, first):
    task = classification(**reweighted(share))
    labels = torch.tensor([0, 1, 2])
    weights = [task.during(epoch, epochs).weight(labels).item() for epoch in (0, first, epochs - 1)]
    assert weights[1:] == pytest.approx([3.0, 3.0])
    outputs = torch.tensor([[2.0, 0, 0]] * 3)
    losses = [task.during(epoch, epochs).loss(outputs, labels).item() for epoch in range(epochs)]
    assert len(set(losses[:first])) <= 1
    assert set(losses[first:]) == {losses[-1]}
    assert losses[-1] > task.loss(outputs, labels).item()  # the classes it is wrong about weigh more


def test_what_an_epoch_learns_does_not_depend_on_what_was_asked_before():
    task = classification(**reweighted(0.5))
    first = task.during(0, 4)
    task.during(3, 4)
    assert task.during(0, 4) is first is task


@pytest.mark.parametrize("stop_after", [1, 4])
def test_deferred_weights_are_the_same_after_a_resume_bit_for_bit(build_trainer, stop_after):
    whole = build_trainer("periodic", task=reweighted(0.5))
    list(whole.epochs())
    store = MemoryCheckpointStore()
    epochs = build_trainer("periodic", store=store, task=reweighted(0.5)).epochs()
    for _ in range(stop_after):
        next(epochs)
    resumed = build_trainer("periodic", store=store, task=reweighted(0.5))
    list(resumed.epochs())
    ours, theirs = whole.finish().model.state_dict(), resumed.finish().model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
    plain = build_trainer("periodic")
    records = list(plain.epochs())
    assert [r.metrics[names.TASK_LOSS] for r in records[:3]] == [r.metrics[names.TASK_LOSS] for r in whole.history[:3]]
    assert records[3].metrics[names.TASK_LOSS] != whole.history[3].metrics[names.TASK_LOSS]


def test_posthoc_adjustment_is_the_published_one():
    stored = GOLDEN["posthoc_logit_adjustment"]
    logits = torch.tensor(GOLDEN["inputs"]["logits"], dtype=torch.float64)
    counts = GOLDEN["inputs"]["class_counts"]
    task = Classification(CrossEntropy("cross_entropy", None), counts, list("abcd"), posthoc_tau=stored["tau"])
    task.to(CPU, torch.float64)
    network = nn.Linear(4, 4, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.eye(4))
        network.bias.zero_()
    task.finish(network, logits[:1])
    expected = torch.tensor(stored["adjusted"], dtype=torch.float64)
    assert torch.allclose(network(logits), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("policy", ["static", "nimble"])
def test_scores_of_an_adjusted_training_are_those_of_its_final_network(build_trainer, make_batches, policy):
    trainer = build_trainer(policy, task={"posthoc_tau": 1.5})
    list(trainer.epochs())
    final = trainer.finish()
    assert trainer.finish() is final  # and is not adjusted again
    assert all(
        type(module).__module__.startswith(("torch.", "neurosearch.models.")) for module in final.model.modules()
    )
    tally = classification().tally()
    for inputs, targets in make_batches(CPU).validation():
        tally.add(final.model.eval()(inputs), targets)
    scores = tally.metrics(tally.sums().tolist())
    assert {name: final.record.metrics[name] for name in scores} == pytest.approx(scores, abs=1e-5)
    plain = build_trainer(policy)
    assert [r.metrics[names.TASK_LOSS] for r in plain.epochs()] == [r.metrics[names.TASK_LOSS] for r in trainer.history]
    assert plain.history[-1].metrics[names.VALIDATION_LOSS] != trainer.history[-1].metrics[names.VALIDATION_LOSS]
