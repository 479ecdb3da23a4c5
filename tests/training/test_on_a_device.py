"""Whole trainings on the simulated GPU: nothing of them lies in the wrong place, and they come out as on the CPU.

The same kernels compute both, so all that is kept is compared, bit for bit.
"""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from neurosearch import names
from neurosearch.data.augmentation import Augmentation
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.data.preprocess import Preprocess
from neurosearch.data.sampling import Sampling
from neurosearch.data.spec import PreprocessSpec
from neurosearch.growth import Event, EventsPolicy, EventsSettings
from neurosearch.models import Mlp, MlpShape
from neurosearch.models.head import with_cosine_head
from neurosearch.models.resnet_cifar import ResnetCifar, ResnetCifarShape
from neurosearch.training import losses
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.few_batches import FewBatches
from neurosearch.training.losses import CrossEntropy, class_balanced_weights
from neurosearch.training.mixing import MixedTask, Mixup, Remix
from neurosearch.training.second_stage import RetrainedClassifier, TauNormalisedClassifier
from neurosearch.training.tasks import Classification, Regression
from neurosearch.training.zapping import Zapping
from tests.simulated_gpu import is_on_gpu, simulated_gpu
from tests.training.members import leaves, train

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
COUNTS, CLASSES = (25, 10, 6), ["a", "b", "c"]
CLOCKED = {names.IMAGES_PER_SECOND, names.EPOCH_SECONDS, names.LATENCY_SECONDS}


def kept(trainer):
    """Returns all that a training keeps, on the CPU, but what a clock has measured."""
    return {
        path: value.cpu().clone() if isinstance(value, torch.Tensor) else value
        for path, value in leaves(trainer._state())
        if path.rpartition(".")[2] not in CLOCKED and path != ".settings.compiled"
    }


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for path, value in found.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, expected[path]), path
        else:
            assert value == expected[path], path


def finished(trainer):
    """Returns what a training keeps after its last epoch, and after its end."""
    for _ in trainer.epochs():
        pass
    state = kept(trainer)
    final = trainer.finish()
    weights = {name: tensor.cpu() for name, tensor in final.model.state_dict().items()}
    metrics = {name: value for name, value in final.record.metrics.items() if name not in CLOCKED}
    return state, {**weights, **metrics, "events": final.record.events, "units": final.units}


def events_policy():
    settings = {"start": "noisy_copy", "importance": "taylor", "protected_share": 0.25, "copy_noise": 0.1}
    return EventsPolicy(EventsSettings((Event(1, 0.5), Event(3, 0.0)), **settings, merge_threshold=0.1))


def cosine_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = Mlp(MlpShape((1, 4, 4), (8, 6), 3, "relu", "batch", 0.0))
        return with_cosine_head(network, torch.zeros(1, 1, 4, 4), 10.0)


def residual_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return ResnetCifar(ResnetCifarShape((1, 4, 4), (4, 6), (5, 7), 1, 3))


def recurrent_network():
    """Its units are used inside of one operation, so they are scored from the weights' gradients."""

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, inputs):
            return self.head(self.cells(inputs[:, 0])[0][:, -1])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Last()


def retrained():
    task = Classification(CrossEntropy("class_balanced", class_balanced_weights(COUNTS, 0.9)), COUNTS, CLASSES)
    return RetrainedClassifier(2, 0.1, "class_balanced", task)


POLICIES = ("static", "periodic", "recycle", "wide_then_prune", "nimble", "mask")
CASES = [
    *({"policy": policy, "model": model} for policy in POLICIES for model in ("mlp", "cnn")),
    *(
        {"policy": "periodic", "model": "cnn", "growth": growth}
        for growth in (
            {"start": "symmetric_pair", "importance": "activation", "groups": "tail_demand"},
            {"start": "shared_copy", "importance": "l2", "explained_share": 0.01},
            {"start": "gradmax", "importance": "taylor"},
            {"start": "noisy_copy", "importance": "gradient", "merge_threshold": 0.1},
            {"importance": "random"},
        )
    ),
    {"policy": "periodic", "growth": {"start": "gradmax", "merge_threshold": 0.01, "groups": "tail_demand"}},
    {"policy": events_policy},
    {"policy": "recycle", "growth": {"measure": "gradient", "start": "noisy_copy"}},
    {"policy": "nimble", "growth": {"sharing": "all", "start_share": 0.1, "target_share": 1.4}},
    {"policy": "nimble", "optimizer": "sgd", "growth": {"size_input": False}},
    {"policy": "mask", "growth": {"sharing": "each", "size_input": False}},
    {"policy": "periodic", "model": residual_network, "channels_last": True},
    {"policy": "periodic", "model": recurrent_network},
    {"policy": "nimble", "model": "cnn", "channels_last": True},
    {"policy": "periodic", "model": cosine_network},
    {"loss": "class_balanced", "optimizer": "sgd", "schedule": "step"},
    {"loss": "balanced_softmax", "task": {"posthoc_tau": 1.0}, "optimizer": "adam"},
    {"task": {"late_loss": CrossEntropy("late", class_balanced_weights(COUNTS, 0.99)), "late_share": 0.5}},
    {"mixing": Mixup(0.4), "loss": "class_balanced"},
    {"mixing": Remix(0.4, 2.0, 0.5), "policy": "periodic"},
    {"second_stage": retrained()},
    {"second_stage": TauNormalisedClassifier(0.7), "policy": "nimble"},
    {"zapping": Zapping(2, 0.7), "optimizer": "sgd"},
    {"decorrelation": 1.0, "policy": "periodic", "model": "cnn"},
    {"decorrelation": 1.0, "policy": "nimble", "growth": {"target_share": 0.0, "learning_rate": 0.5}},
    {"dropout": 0.5, "policy": "periodic"},
    {"dropout": 0.5, "model": "cnn", "amp": True, "policy": "nimble"},
    {"amp": True, "decorrelation": 1.0, "policy": "periodic", "growth": {"start": "gradmax"}, "measure_latency": True},
]


def named(case):
    return ", ".join(f"{name} {getattr(value, '__name__', value)}" for name, value in case.items())[:80]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_training_comes_out_as_on_the_cpu(build_trainer, case):
    expected = finished(build_trainer(epochs=3, **copy.deepcopy(case)))
    with simulated_gpu():
        trainer = build_trainer(device=CUDA, epochs=3, **copy.deepcopy(case))
        found = finished(trainer)
        assert all(map(is_on_gpu, trainer.model.state_dict().values()))
        assert all(map(is_on_gpu, trainer.policy.trained()))
    for ours, theirs in zip(found, expected, strict=True):
        assert_alike(ours, theirs)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("stop", [1, 2])
def test_a_training_goes_on_from_its_checkpoint_there(build_trainer, policy, stop):
    case = {"policy": policy, "model": "cnn", "dropout": 0.2, "channels_last": True, "epochs": 3}
    expected = finished(build_trainer(**case))
    with simulated_gpu():
        store = MemoryCheckpointStore()
        list(itertools.islice(build_trainer(device=CUDA, store=store, **case).epochs(), stop))
        resumed = build_trainer(device=CUDA, store=store, **case)
        assert len(resumed.history) == stop
        found = finished(resumed)
    for ours, theirs in zip(found, expected, strict=True):
        assert_alike(ours, theirs)


ALL_LOSSES = {
    "focal": lambda weights: losses.Focal(1.5, weights),
    "class_balanced_focal": lambda weights: losses.ClassBalancedFocal(1.5, weights),
    "ldam": lambda weights: losses.Ldam(COUNTS, 0.5, 10.0, weights),
    "logit_adjustment": lambda weights: losses.LogitAdjustment("logit_adjustment", COUNTS, 1.5, weights),
    "vs": lambda weights: losses.VectorScaling(COUNTS, 0.2, 1.0, weights),
    "smoothing": lambda weights: losses.LabelAwareSmoothing(COUNTS, 0.4, 0.1, "convex", weights),
}


@pytest.mark.parametrize("make", ALL_LOSSES.values(), ids=ALL_LOSSES)
@pytest.mark.parametrize("is_mixed", [False, True])
def test_every_loss_has_its_tensors_there(make, is_mixed):
    logits, labels = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3
    if is_mixed:
        labels = torch.stack([labels, labels.flip(0), torch.full((7,), 0.3)], dim=1)

    def slopes(device):
        task = Classification(make(class_balanced_weights(COUNTS, 0.9)), COUNTS, CLASSES, posthoc_tau=1.0)
        task = MixedTask(task) if is_mixed else task
        task.to(device, torch.float32)
        outputs, targets = logits.to(device).requires_grad_(), labels.to(device)
        loss = task.loss(outputs, targets)
        loss.backward()
        tally = task.tally()
        tally.add(outputs, targets if targets.ndim == 1 else targets[:, 0].long())
        return [loss.item(), task.weight(targets).item(), outputs.grad.tolist(), tally.sums().tolist()]

    with simulated_gpu():
        found = slopes(CUDA)
    assert found == slopes(CPU)


def test_quantities_are_learned_there(build_member):
    expected = finished(build_member(1, "nimble", task="quantities"))
    with simulated_gpu():
        found = finished(build_member(1, "nimble", task="quantities", device=CUDA))
        weight = Regression("mae", ["y"], [1.0]).weight(torch.ones(4, 1, device=CUDA))
        assert (is_on_gpu(weight), weight.item()) == (True, 4.0)
    for ours, theirs in zip(found, expected, strict=True):
        assert_alike(ours, theirs)


PACKS = [
    {"norm": "batch", "dropout": 0.3},
    {"optimizer": "sgd", "momentum": 0.0, "activation": "gelu"},
    {"policy": "periodic", "task": "adjusted"},
    {"policy": "nimble", "optimizer": "adam"},
    {"policy": "growing", "task": "quantities"},
    {"policy": "nimble", "compiled": True},  # on a GPU they are not
]


@pytest.mark.parametrize("case", PACKS, ids=named)
def test_a_pack_comes_out_as_on_the_cpu(build_member, case):
    members = [build_member(seed, epochs=3, **case | {"compiled": False}) for seed in range(2)]
    train(members)
    with simulated_gpu():
        there = [build_member(seed, epochs=3, device=CUDA, **case) for seed in range(2)]
        results = train(there)
        assert not [each for each in results.values() if isinstance(each, Exception)]
        found = [kept(member) for member in there]
    for ours, member in zip(found, members, strict=True):
        assert_alike(ours, kept(member))


@pytest.mark.parametrize("model", ["cnn", residual_network])
def test_so_does_a_pack_of_networks_of_any_kind(build_trainer, model):
    case = {"policy": "periodic", "model": model, "optimizer": "sgd", "epochs": 3}
    members = [build_trainer(seed=seed, **case) for seed in range(2)]
    train(members)
    with simulated_gpu():
        there = [build_trainer(seed=seed, device=CUDA, **case) for seed in range(2)]
        results = train(there)
        assert not [each for each in results.values() if isinstance(each, Exception)]
        found = [kept(member) for member in there]
    for ours, member in zip(found, members, strict=True):
        assert_alike(ours, kept(member))


def images(count, dtype):
    """Returns raw images, or as many that lie normalised."""
    generator = np.random.default_rng(count)
    labels = np.repeat(np.arange(3), (count // 2, count // 3, count - count // 2 - count // 3))
    shape = (6, 5, 3) if dtype == "uint8" else (3, 6, 5)
    return Arrays(generator.integers(0, 256, (count, *shape)).astype(dtype), labels)


@pytest.mark.parametrize("kind", ["instance", "square_root", "class_balanced", "progressive"])
@pytest.mark.parametrize("is_stored_raw", [False, True])
@pytest.mark.parametrize("padding", [0, 2])
def test_batches_are_the_same_there(monkeypatch, kind, is_stored_raw, padding):
    for limit in ("_GATHER_BYTES", "_GPU_GATHER_BYTES"):
        monkeypatch.setattr(f"neurosearch.data.batches.{limit}", 1 << 11)  # some gatherings in an epoch
    spec = PreprocessSpec("HWC", "uint8", (6, 5, 3), 255.0, None)

    def batches(device):
        normalise = Preprocess(spec, torch.full((3,), 0.5), torch.full((3,), 0.25)) if is_stored_raw else None
        parts = [images(count, "uint8" if is_stored_raw else "float32") for count in (60, 20)]
        sampling, augmentation = Sampling(kind, 4), Augmentation(padding, flip=True, fill=(0.1, 0.2, 0.3))
        made = ArrayBatches(*parts, 8, 5, device, 3, normalise, sampling=sampling, augmentation=augmentation)
        found = [*made.train(2), *made.validation(), *made.train_as_is(), *made.balanced(3, 1)]
        found += FewBatches(made, 2, device).train(0)
        assert all(each.device.type == device.type for each in itertools.chain(*found))
        return [[each.cpu() for each in batch] for batch in found]

    with simulated_gpu():
        found = batches(CUDA)
    for ours, theirs in zip(found, batches(CPU), strict=True):
        assert all(itertools.starmap(torch.equal, zip(ours, theirs, strict=True)))
