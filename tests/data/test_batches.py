import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.data import batches as batches_room
from neurosearch.data.augmentation import Augmentation
from neurosearch.data.batches import ArrayBatches, batch_sizes
from neurosearch.data.prepared import Arrays
from neurosearch.data.preprocess import Preprocess
from neurosearch.data.spec import PreprocessSpec
from neurosearch.randomness import derive_seed

CPU = torch.device("cpu")


def arrays(num_images, num_classes=3):
    x = np.arange(num_images, dtype=np.float32).reshape(-1, 1) * np.ones((1, 4), np.float32)
    return Arrays(x, np.arange(num_images, dtype=np.int64) % num_classes)


def batches(num_images, batch_size, seed=0, num_validation=7):
    return ArrayBatches(arrays(num_images), arrays(num_validation), batch_size, seed, CPU, 3)


@given(num_images=st.integers(1, 400), batch_size=st.integers(1, 50), seed=st.integers(0, 2**40))
@settings(deadline=None)
def test_an_epoch_holds_every_image_once_in_the_derived_order(num_images, batch_size, seed):
    made = batches(num_images, batch_size, seed)
    x = torch.cat([x for x, _ in made.train(3)])
    y = torch.cat([y for _, y in made.train(3)])
    order = torch.randperm(num_images, generator=torch.Generator().manual_seed(derive_seed(seed, "order", 3)))
    assert torch.equal(x[:, 0].long(), order)
    assert torch.equal(y, order % 3)


@given(num_images=st.integers(2, 400), batch_size=st.integers(2, 50))
@settings(deadline=None)
def test_no_batch_holds_a_lone_image(num_images, batch_size):
    sizes = [len(x) for x, _ in batches(num_images, batch_size).train(0)]
    assert sizes == batch_sizes(num_images, batch_size)
    assert len(sizes) == batches(num_images, batch_size).steps_per_epoch
    assert min(sizes) > 1
    assert all(size == batch_size for size in sizes[:-1])


def test_a_lone_last_image_goes_into_the_batch_before():
    assert batch_sizes(9, 4) == [4, 5]
    assert batch_sizes(10, 4) == [4, 4, 2]
    assert batch_sizes(1, 4) == [1]
    assert batch_sizes(3, 1) == [1, 1, 1]


def test_every_epoch_has_its_own_order():
    made = batches(50, 10)
    assert not torch.equal(next(made.train(0))[0], next(made.train(1))[0])


def test_gathering_several_batches_at_once_changes_nothing(monkeypatch):
    expected = list(batches(95, 10).train(2))
    for size in (1, 700):
        monkeypatch.setattr("neurosearch.data.batches._GATHER_BYTES", size)
        for (x, y), (expected_x, expected_y) in zip(batches(95, 10).train(2), expected, strict=True):
            assert torch.equal(x, expected_x)
            assert torch.equal(y, expected_y)


def test_validation_comes_in_its_stored_order_in_large_batches():
    made = ArrayBatches(arrays(20), arrays(5000), 4, 0, CPU, 3)
    sizes = [len(x) for x, _ in made.validation()]
    assert sizes == [2048, 2048, 904]
    assert torch.equal(torch.cat([x for x, _ in made.validation()])[:, 0].long(), torch.arange(5000))


def test_class_counts_are_of_the_training_part():
    assert batches(8, 4).class_counts == (3, 3, 2)
    assert ArrayBatches(arrays(8), arrays(8), 4, 0, CPU, 5).class_counts == (3, 3, 2, 0, 0)


def test_a_balanced_sample_has_as_many_of_each_class_and_all_of_a_smaller_one():
    y = np.repeat([0, 1, 2], [40, 30, 5])
    x = np.arange(75, dtype=np.float32).reshape(-1, 1)
    made = ArrayBatches(Arrays(x, y), Arrays(x, y), 8, 0, CPU, 3)
    [(sample_x, sample_y)] = made.balanced(10, 1)
    assert torch.bincount(sample_y).tolist() == [10, 10, 5]
    assert len(sample_x.unique()) == 25
    assert torch.equal(torch.from_numpy(y)[sample_x[:, 0].long()], sample_y)
    assert sample_y[:6].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_balanced_sample_is_drawn_by_its_seed_alone():
    first, second = batches(90, 8, seed=1), batches(90, 8, seed=2)
    assert torch.equal(first.balanced(4, 5)[0][0], second.balanced(4, 5)[0][0])
    assert not torch.equal(first.balanced(4, 5)[0][0], first.balanced(4, 6)[0][0])


def test_on_the_cpu_the_arrays_are_not_copied():
    train = arrays(20)
    made = ArrayBatches(train, train, 4, 0, CPU, 3)
    train.x[:] = -1
    assert all((x == -1).all() for x, _ in made.train(0))


@pytest.mark.gpu
def test_the_order_is_the_same_on_a_gpu():
    device = torch.device("cuda")
    made = ArrayBatches(arrays(50), arrays(5), 8, 0, device, 3)
    for (x, y), (expected_x, expected_y) in zip(made.train(1), batches(50, 8).train(1), strict=True):
        assert x.device.type == "cuda"
        assert torch.equal(x.cpu(), expected_x)
        assert torch.equal(y.cpu(), expected_y)


def streamed(batch_size=8, device=CPU):
    generator = np.random.default_rng(0)
    parts = [
        Arrays(generator.integers(0, 256, (count, 5, 4, 3), np.uint8), np.arange(count) % 3) for count in (50, 2100)
    ]
    spec = PreprocessSpec("HWC", "uint8", (5, 4, 3), 255.0, None)
    normalise = Preprocess(spec, torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3]))
    normalised = [Arrays(normalise(torch.from_numpy(part.x)).contiguous().numpy(), part.y) for part in parts]
    settings = batch_size, 0, device, 3
    return ArrayBatches(*parts, *settings, normalise), ArrayBatches(*normalised, *settings)


def as_one(batches):
    return [torch.cat(each) for each in zip(*batches, strict=True)]


@pytest.mark.parametrize("batch_size", [8, 7, 50])
def test_batches_normalised_on_the_way_are_bit_for_bit_those_that_lie_normalised(batch_size):
    made, expected = streamed(batch_size)
    for (x, y), (expected_x, expected_y) in zip(made.train(4), expected.train(4), strict=True):
        assert torch.equal(x, expected_x)
        assert torch.equal(y, expected_y)
        assert x.is_contiguous()
    for batches, others in (
        (made.validation(), expected.validation()),
        (made.balanced(3, 1), expected.balanced(3, 1)),
    ):
        for mine, other in zip(as_one(batches), as_one(others), strict=True):
            assert torch.equal(mine, other)


def test_an_epoch_that_is_left_early_leaves_no_thread(monkeypatch):
    monkeypatch.setattr("neurosearch.data.batches._GATHER_BYTES", 1)
    before = threading.active_count()
    epoch = streamed()[0].train(0)
    next(epoch)
    epoch.close()
    assert threading.active_count() == before


def test_what_goes_wrong_while_reading_ahead_is_raised():
    def items():
        yield torch.zeros(1)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(batches_room._ahead(items()))


def test_without_classes_a_balanced_choice_is_a_seeded_sample():
    x = np.arange(20, dtype=np.float32)[:, None]
    part = Arrays(x, x.copy())
    batches = ArrayBatches(part, part, 8, 0, torch.device("cpu"), 0)
    assert batches.class_counts == ()
    (drawn,) = batches.balanced(6, 1)
    assert len(drawn[0]) == len(set(drawn[0].flatten().tolist())) == 6
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(batches.balanced(6, 1)[0][0], drawn[0])
    assert not torch.equal(batches.balanced(6, 2)[0][0], drawn[0])


@pytest.mark.gpu
@pytest.mark.parametrize("augmentation", [None, Augmentation(2, flip=True, fill=(0.5,) * 3)])
def test_a_gpu_gathers_many_batches_at_once_and_they_are_the_same(augmentation, monkeypatch):
    generator = np.random.default_rng(0)
    part = Arrays(generator.normal(size=(60, 3, 8, 8)).astype(np.float32), np.arange(60) % 3)
    monkeypatch.setattr(batches_room, "_GATHER_BYTES", 1)
    monkeypatch.setattr(batches_room, "_GPU_GATHER_BYTES", 3 * 8 * part.x[0].nbytes)
    on_gpu, on_cpu = (
        ArrayBatches(part, part, 8, 0, torch.device(device), 3, augmentation=augmentation) for device in ("cuda", "cpu")
    )
    assert [len(made._blocks) for made in (on_gpu, on_cpu)] == [3, 8]
    for (x, y), (expected_x, expected_y) in zip(on_gpu.train(1), on_cpu.train(1), strict=True):
        assert torch.equal(x.cpu(), expected_x)
        assert torch.equal(y.cpu(), expected_y)


@pytest.mark.gpu
def test_streamed_batches_arrive_on_a_gpu():
    made, expected = streamed(device=torch.device("cuda"))
    for (x, y), (expected_x, expected_y) in zip(made.train(1), expected.train(1), strict=True):
        assert (x.device.type, y.device.type) == ("cuda", "cuda")
        assert torch.allclose(x, expected_x, atol=1e-5)
        assert torch.equal(y, expected_y)
    assert len(as_one(made.validation())[0]) == 2100
    assert as_one(made.balanced(2, 0))[0].device.type == "cuda"
