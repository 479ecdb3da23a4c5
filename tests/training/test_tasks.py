from dataclasses import replace

import numpy as np
import pytest
import torch

from neurosearch import names
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import PeriodicPolicy, StaticPolicy
from neurosearch.models import Mlp, MlpShape
from neurosearch.training.checkpoint import MemoryCheckpointStore
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
    task = Classification("cross_entropy", [5, 5], ["a", "b"])
    assert task.weight(torch.tensor([0, 1, 1])) == 3


def test_a_static_network_learns_too(training_settings):
    trainer = build(training_settings, MemoryCheckpointStore(), StaticPolicy())
    assert [record.epoch for record in trainer.epochs()] == list(range(1, 7))
