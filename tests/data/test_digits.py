import numpy as np

from neurosearch.data.arrays import check_arrays
from neurosearch.data.digits import DigitsSource


def test_digits_are_small_whole_numbers_with_a_fixed_test_part():
    raw = DigitsSource().load()
    assert check_arrays(raw) == []
    assert raw.x_train.dtype == np.uint8
    assert (raw.x_train.min(), raw.x_train.max(), raw.scale) == (0, 16, 16.0)
    assert (raw.x_train.shape, raw.x_test.shape) == ((1258, 8, 8), (539, 8, 8))
    assert np.bincount(raw.y_test).tolist() == [53, 55, 53, 55, 54, 55, 54, 54, 52, 54]


def test_digits_are_the_same_every_time():
    first, second = DigitsSource(), DigitsSource()
    assert first.identity() == second.identity()
    assert np.array_equal(first.load().x_test, second.load().x_test)


def test_they_are_what_the_library_itself_loads():
    from sklearn.datasets import load_digits

    raw, theirs = DigitsSource().load(), load_digits()
    ours = {(each.tobytes(), int(label)) for each, label in zip(raw.x_test, raw.y_test, strict=True)}
    assert ours <= {
        (each.astype(np.uint8).tobytes(), int(label)) for each, label in zip(theirs.images, theirs.target, strict=True)
    }
