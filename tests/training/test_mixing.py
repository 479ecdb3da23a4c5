import itertools
from copy import deepcopy
from math import isclose

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch import names
from neurosearch.randomness import derive_seed
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.distributed import Ranks
from neurosearch.training.losses import CrossEntropy, LogitAdjustment, class_balanced_weights
from neurosearch.training.mixing import MixedBatches, MixedTask, Mixup, Remix
from neurosearch.training.tasks import Classification

CPU = torch.device("cpu")
CLASS_NAMES = ["a", "b", "c"]
COUNTS = (25, 10, 6)
PLAIN = CrossEntropy("cross_entropy", None)
BALANCED = CrossEntropy("class_balanced", class_balanced_weights(COUNTS, 0.9999))


class OneBatch:
    """A `Batches` of the same batch again and again."""

    def __init__(self, inputs, labels, counts=COUNTS, steps=3):
        self.batch = inputs, labels
        self.class_counts = counts
        self.steps_per_epoch = steps

    def train(self, epoch):
        del epoch
        return iter([self.batch] * self.steps_per_epoch)


def remix_share(ratio, share, kappa, tau):
    if ratio >= kappa and share < tau:
        return 0.0
    if ratio <= 1 / kappa and 1 - share < tau:
        return 1.0
    return share


@given(
    mixing=st.one_of(
        st.builds(Mixup, st.floats(0.1, 4)), st.builds(Remix, st.floats(0.1, 4), st.floats(1, 5), st.floats(0, 1))
    ),
    loss=st.sampled_from([CrossEntropy("cross_entropy", None), LogitAdjustment("balanced_softmax", COUNTS, 1.0, None)]),
    size=st.integers(2, 8),
    seed=st.integers(0, 2**40),
)
@settings(deadline=None, max_examples=50)
def test_a_mixed_batch_is_that_of_a_plain_loop(mixing, loss, size, seed):
    numbers = np.random.default_rng(seed)
    inputs = torch.from_numpy(numbers.normal(size=(size, 3)))
    labels = torch.from_numpy(numbers.integers(0, 3, size))
    task = Classification(deepcopy(loss), COUNTS, CLASS_NAMES)
    task.to(CPU, torch.float64)
    derived = derive_seed(seed, "mixing", 2)
    shares = np.random.default_rng(derived).beta(mixing.alpha, mixing.alpha, 3).astype(np.float32).tolist()
    pairs = torch.Generator().manual_seed(derived)
    for share, (mixed, targets) in zip(
        shares, MixedBatches(OneBatch(inputs, labels), mixing, seed, CPU).train(2), strict=True
    ):
        partners = torch.randperm(size, generator=pairs).tolist()
        total = 0.0
        for i, j in enumerate(partners):
            expected = share * inputs[i] + (1 - share) * inputs[j]
            assert torch.allclose(mixed[i], expected, rtol=0, atol=1e-12)
            first, second = labels[i].item(), labels[j].item()
            own = share
            if isinstance(mixing, Remix):
                # Float32, as the counts are compared on the device.
                ratio = float(np.float32(COUNTS[first]) / np.float32(COUNTS[second]))
                own = remix_share(ratio, share, mixing.kappa, mixing.tau)
            of_first, of_second = (task.loss(expected[None], torch.tensor([label])).item() for label in (first, second))
            total += own * of_first + (1 - own) * of_second
        assert isclose(MixedTask(task).loss(mixed, targets).item(), total / size, rel_tol=1e-9, abs_tol=1e-12)


def test_the_rarer_class_keeps_the_label():
    inputs, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    batches = MixedBatches(OneBatch(inputs, labels, (90, 10), steps=40), Remix(1.0, 3.0, 0.5), 0, CPU)
    for mixed, targets in batches.train(0):
        share = targets[0, 2].item()
        if mixed[0, 0] == 0:  # paired with itself
            assert targets[:, :2].tolist() == [[0, 0], [1, 1]]
        elif share < 0.5:
            assert targets[:, :2].tolist() == [[1, 1], [1, 0]]
        else:
            assert targets[:, :2].tolist() == [[0, 1], [1, 1]]


def test_of_two_cases_that_hold_the_first_one_counts():
    inputs, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    batches = MixedBatches(OneBatch(inputs, labels, (50, 50), steps=40), Remix(1.0, 1.0, 0.8), 0, CPU)
    found = [(mixed[0, 0].item() > 0, targets) for mixed, targets in batches.train(0)]
    of_both = [targets for is_mixed, targets in found if is_mixed and 0.2 < targets[0, 2] < 0.8]
    assert len(of_both) > 3
    assert all(targets[:, :2].tolist() == [[1, 1], [0, 0]] for targets in of_both)


def test_classes_of_like_size_are_mixed_as_by_mixup(make_batches):
    batches = make_batches(CPU)
    remixed, mixed = (MixedBatches(batches, each, 7, CPU) for each in (Remix(1.0, 5.0, 0.5), Mixup(1.0)))
    for (x, targets), (other_x, others) in zip(remixed.train(1), mixed.train(1), strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(targets, others)


def test_the_loss_of_a_mixed_batch_is_the_weighted_sum_of_two(make_batches):
    task = Classification(deepcopy(BALANCED), COUNTS, CLASS_NAMES)
    task.to(CPU, torch.float32)
    _, targets = next(MixedBatches(make_batches(CPU), Mixup(1.0), 7, CPU).train(0))
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    share = targets[0, 2]
    first, second = targets[:, 0].long(), targets[:, 1].long()
    expected = share * task.loss(logits, first) + (1 - share) * task.loss(logits, second)
    assert torch.allclose(MixedTask(task).loss(logits, targets), expected)
    assert torch.allclose(MixedTask(task).weight(targets), task.weight(first))


@pytest.mark.parametrize("mixing", [Mixup(1.0), Remix(1.0, 1.5, 0.5)])
@pytest.mark.parametrize("loss", [PLAIN, BALANCED])
def test_the_parts_of_several_processes_make_up_the_loss_of_the_whole(make_batches, mixing, loss):
    task = MixedTask(Classification(deepcopy(loss), COUNTS, CLASS_NAMES))
    task.to(CPU, torch.float32)
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    for x, targets in list(MixedBatches(make_batches(CPU), mixing, 7, CPU).train(0))[:3]:
        parts = [Ranks(rank, 3).part((x, targets)) for rank in range(3)]
        of_logits = [Ranks(rank, 3).part((logits, targets))[0] for rank in range(3)]
        assert torch.equal(torch.cat([inputs for inputs, _ in parts]), x)
        weights = torch.stack([task.weight(part) for _, part in parts])
        losses = torch.stack([task.loss(z, part) for z, (_, part) in zip(of_logits, parts, strict=True)])
        assert torch.allclose(losses @ weights / weights.sum(), task.loss(logits, targets))


def test_labels_that_are_not_mixed_have_the_plain_loss():
    task = Classification(deepcopy(BALANCED), COUNTS, CLASS_NAMES)
    task.to(CPU, torch.float32)
    logits, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    assert torch.equal(MixedTask(task).loss(logits, labels), task.loss(logits, labels))
    assert torch.equal(MixedTask(task).weight(labels), task.weight(labels))


def test_only_training_batches_are_mixed(make_batches):
    batches = make_batches(CPU)
    mixed = MixedBatches(batches, Mixup(1.0), 7, CPU)
    assert (mixed.steps_per_epoch, mixed.class_counts) == (batches.steps_per_epoch, batches.class_counts)
    for name, *arguments in (("validation",), ("balanced", 4, 1), ("train_as_is",)):
        for (x, y), (other_x, other_y) in zip(
            getattr(mixed, name)(*arguments), getattr(batches, name)(*arguments), strict=True
        ):
            assert torch.equal(x, other_x)
            assert torch.equal(y, other_y)


@pytest.mark.parametrize("mixing", [Mixup(0.2), Remix(1.0, 1.5, 0.5)])
@pytest.mark.parametrize("policy", ["static", "periodic", "nimble"])
def test_mixed_trainings_learn_and_resume_bit_for_bit(build_trainer, mixing, policy):
    choices = {"policy": policy, "mixing": mixing, "learning_rate": 0.03}
    whole, store = build_trainer(**choices), MemoryCheckpointStore()
    list(whole.epochs())
    list(itertools.islice(build_trainer(**choices, store=store).epochs(), 3))
    resumed = build_trainer(**choices, store=store)
    list(resumed.epochs())
    for (name, found), expected in zip(
        resumed.model.state_dict().items(), whole.model.state_dict().values(), strict=True
    ):
        assert torch.equal(found, expected), name
    scores = [record.metrics[names.BALANCED_ACCURACY] for record in whole.history]
    assert scores[-1] > scores[0]


@pytest.mark.gpu
def test_a_gpu_mixes_the_same_pairs(make_batches):
    device = torch.device("cuda")
    on_gpu = MixedBatches(make_batches(device), Remix(1.0, 2.0, 0.5), 7, device)
    on_cpu = MixedBatches(make_batches(CPU), Remix(1.0, 2.0, 0.5), 7, CPU)
    for (x, targets), (other_x, others) in zip(on_gpu.train(1), on_cpu.train(1), strict=True):
        assert torch.allclose(x.cpu(), other_x)
        assert torch.equal(targets.cpu(), others)
