import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from neurosearch.data.augmentation import Augmentation, Augmenter
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.data.preprocess import Preprocess
from neurosearch.data.spec import PreprocessSpec
from neurosearch.randomness import derive_seed

CPU = torch.device("cpu")
CIFAR = Augmentation(4, flip=True, fill=(-1.5, 0.25, 2.0))


def by_hand(images, drawn, augmentation):
    """One image after the other, as torchvision's RandomCrop(size, padding) and RandomHorizontalFlip do it."""
    made = []
    height, width = images.shape[2:]
    for image, (top, left, flip) in zip(images, drawn.tolist(), strict=True):
        padding = augmentation.crop_padding
        padded = torch.stack(
            [F.pad(channel, (padding,) * 4, value=fill) for channel, fill in zip(image, augmentation.fill, strict=True)]
        )
        cut = padded[:, top : top + height, left : left + width]
        made.append(cut.flip(2) if flip else cut)
    return torch.stack(made)


@given(
    num_images=st.integers(1, 6),
    channels=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(0, 4),
    flip=st.booleans(),
    seed=st.integers(0, 2**40),
)
@settings(deadline=None)
def test_a_batch_is_augmented_as_one_image_after_the_other(num_images, channels, height, width, padding, flip, seed):
    augmentation = Augmentation(padding, flip, (0.5, -1.0, 2.0)[:channels])
    augmenter = Augmenter(augmentation, height, width, CPU)
    images = torch.from_numpy(np.random.default_rng(seed).random((num_images, channels, height, width), np.float32))
    drawn = augmenter.draw(num_images, seed)
    found = augmenter.apply(images, drawn)
    assert torch.equal(found, by_hand(images, drawn, augmentation))
    assert found.is_contiguous()


def test_every_cut_and_both_sides_are_drawn_about_equally_often():
    drawn = Augmenter(CIFAR, 32, 32, CPU).draw(81_000, 0)
    cells = torch.bincount(drawn[:, 0] * 9 + drawn[:, 1], minlength=81)
    assert (cells - 1000).abs().max() < 5 * 1000**0.5
    assert abs(drawn[:, 2].double().mean().item() - 0.5) < 0.01
    assert drawn[:, :2].max() == 8


def test_without_flips_none_is_drawn_and_the_cuts_stay():
    drawn = Augmenter(CIFAR, 8, 8, CPU).draw(50, 3)
    plain = Augmenter(Augmentation(4, flip=False, fill=CIFAR.fill), 8, 8, CPU).draw(50, 3)
    assert torch.equal(drawn[:, :2], plain[:, :2])
    assert not plain[:, 2].any()


def parts():
    generator = np.random.default_rng(0)
    return [Arrays(generator.integers(0, 256, (count, 6, 5, 3), np.uint8), np.arange(count) % 3) for count in (50, 20)]


def preprocess():
    spec = PreprocessSpec("HWC", "uint8", (6, 5, 3), 255.0, None)
    return Preprocess(spec, torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3]))


def mapped(part):
    return Arrays(preprocess()(torch.from_numpy(part.x)).contiguous().numpy(), part.y)


def batches(augmentation=CIFAR, seed=0, device=CPU):
    train, validation = map(mapped, parts())
    return ArrayBatches(train, validation, 8, seed, device, 3, augmentation=augmentation)


def as_one(batches):
    return tuple(torch.cat(each) for each in zip(*batches, strict=True))


@pytest.mark.parametrize("gathered_bytes", [1, 700, 1 << 18])
def test_training_batches_are_the_plain_ones_augmented_by_seed_and_epoch(monkeypatch, gathered_bytes):
    monkeypatch.setattr("neurosearch.data.batches._GATHER_BYTES", gathered_bytes)
    made, plain = batches(seed=5), batches(None, seed=5)
    for epoch in (3, 0):
        x, y = as_one(made.train(epoch))
        plain_x, plain_y = as_one(plain.train(epoch))
        drawn = Augmenter(CIFAR, 6, 5, CPU).draw(50, derive_seed(5, "augmentation", epoch))
        assert torch.equal(x, by_hand(plain_x, drawn, CIFAR))
        assert torch.equal(y, plain_y)
    assert not torch.equal(as_one(made.train(1))[0], as_one(batches(seed=6).train(1))[0])


def test_only_what_is_trained_on_is_augmented():
    made, plain = batches(), batches(None)
    for name, *arguments in (("validation",), ("balanced", 4, 1), ("train_as_is",)):
        found, expected = (as_one(getattr(each, name)(*arguments)) for each in (made, plain))
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert torch.equal(as_one(made.train_as_is())[0], torch.from_numpy(mapped(parts()[0]).x))


def test_streamed_images_are_augmented_alike():
    streamed = ArrayBatches(*parts(), 8, 0, CPU, 3, preprocess(), augmentation=CIFAR)
    for one, other in zip(as_one(streamed.train(2)), as_one(batches().train(2)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
def test_a_gpu_augments_the_same_images_alike():
    for (x, y), (other_x, other_y) in zip(
        batches(device=torch.device("cuda")).train(1), batches().train(1), strict=True
    ):
        assert torch.equal(x.cpu(), other_x)
        assert torch.equal(y.cpu(), other_y)
