import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.data.preprocess import Preprocess
from neurosearch.data.sampling import Sampling
from neurosearch.data.spec import PreprocessSpec
from neurosearch.randomness import derive_seed

CPU = torch.device("cpu")
DRAWN = ("square_root", "class_balanced", "progressive")
# Shares of classes of 500, 120, 30 and 5 examples by the public code (BagofTricks-LT); progressive: at half time.
COUNTS = torch.tensor([500, 120, 30, 5])
PUBLISHED = {
    "instance": [0.7633587786259542, 0.183206106870229, 0.04580152671755725, 0.007633587786259542],
    "class_balanced": [0.25, 0.25, 0.25, 0.25],
    "square_root": [0.5450045927836515, 0.2669966319586555, 0.13349831597932774, 0.05450045927836515],
    "progressive": [0.5066793893129771, 0.2166030534351145, 0.14790076335877864, 0.12881679389312978],
}
LABELS = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS.numpy())))


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_shares_of_the_classes_are_the_published_ones(kind):
    shares = Sampling(kind, epochs=11).class_shares(COUNTS, 5)
    assert torch.allclose(shares, torch.tensor(PUBLISHED[kind], dtype=torch.float64), rtol=0, atol=1e-12)


def test_progressive_goes_linearly_from_the_data_in_the_first_epoch_to_balanced_in_the_last():
    sampling = Sampling("progressive", epochs=5)
    first, middle, last = (sampling.class_shares(COUNTS, epoch)[0].item() for epoch in (0, 2, 4))
    assert (first, last) == (pytest.approx(500 / 655), 0.25)
    assert middle == pytest.approx((first + last) / 2)


def test_progressive_over_one_epoch_has_the_shares_of_the_data():
    shares = Sampling("progressive", epochs=1).class_shares(COUNTS, 0)
    assert torch.allclose(shares, torch.tensor(PUBLISHED["instance"], dtype=torch.float64))


@pytest.mark.parametrize("kind", DRAWN)
def test_what_is_drawn_follows_the_shares(kind):
    epochs = [Sampling(kind, 11).order(LABELS, 4, 5, seed) for seed in range(40)]
    found = torch.bincount(LABELS[torch.cat(epochs)], minlength=4) / (40 * len(LABELS))
    assert torch.allclose(found.double(), torch.tensor(PUBLISHED[kind], dtype=torch.float64), atol=0.012)
    of_rarest = torch.bincount(torch.cat(epochs), minlength=len(LABELS))[LABELS == 3]
    assert (of_rarest - of_rarest.double().mean()).abs().max() < 5 * of_rarest.double().mean().sqrt()


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    kind=st.sampled_from(DRAWN),
    seed=st.integers(0, 2**40),
)
@settings(deadline=None)
def test_an_epoch_has_as_many_positions_as_there_are_examples_and_none_of_an_empty_class(counts, kind, seed):
    labels = torch.from_numpy(np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts)))
    order = Sampling(kind, 3).order(labels, len(counts), 1, seed)
    assert order.shape == labels.shape
    assert order.min() >= 0
    assert order.max() < len(labels)
    shares = Sampling(kind, 3).class_shares(torch.tensor(counts), 1)
    assert shares.sum().item() == pytest.approx(1)
    assert [share == 0 for share in shares.tolist()] == [count == 0 for count in counts]


def batches(kind, seed=0, device=CPU, epochs=10, normalise=None, x=None):
    part = Arrays(np.arange(len(LABELS), dtype=np.float32)[:, None] if x is None else x, LABELS.numpy())
    return ArrayBatches(part, part, 32, seed, device, 4, normalise, sampling=Sampling(kind, epochs))


@pytest.mark.parametrize("kind", DRAWN)
def test_batches_hold_what_is_drawn_for_the_epoch_alone(kind):
    made = batches(kind)
    for epoch in (4, 0):  # whatever came before
        drawn = Sampling(kind, 10).order(LABELS, 4, epoch, derive_seed(0, "order", epoch))
        x, y = (torch.cat(each) for each in zip(*made.train(epoch), strict=True))
        assert torch.equal(x[:, 0].long(), drawn)
        assert torch.equal(y, LABELS[drawn])
    assert len(list(made.train(1))) == made.steps_per_epoch == batches("instance").steps_per_epoch
    assert not torch.equal(next(made.train(1))[0], next(made.train(2))[0])
    assert not torch.equal(next(made.train(1))[0], next(batches(kind, seed=1).train(1))[0])


def test_sampling_by_instance_is_the_plain_order():
    part = Arrays(np.arange(len(LABELS), dtype=np.float32)[:, None], LABELS.numpy())
    plain = ArrayBatches(part, part, 32, 0, CPU, 4)
    for (x, y), (other_x, other_y) in zip(batches("instance").train(3), plain.train(3), strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_streamed_images_come_in_the_same_order():
    x = np.random.default_rng(0).integers(0, 256, (len(LABELS), 3, 2, 1), np.uint8)
    normalise = Preprocess(PreprocessSpec("HWC", "uint8", (3, 2, 1), 255.0, None), torch.zeros(1), torch.ones(1))
    ready = normalise(torch.from_numpy(x)).contiguous().numpy()
    streamed, mapped = batches("square_root", normalise=normalise, x=x), batches("square_root", x=ready)
    for (x, y), (other_x, other_y) in zip(streamed.train(2), mapped.train(2), strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


@pytest.mark.gpu
def test_the_order_is_the_same_on_a_gpu():
    on_gpu = batches("progressive", device=torch.device("cuda"))
    for (x, y), (other_x, other_y) in zip(on_gpu.train(3), batches("progressive").train(3), strict=True):
        assert torch.equal(x.cpu(), other_x)
        assert torch.equal(y.cpu(), other_y)
