import numpy as np
import pytest

from neurosearch.data.arrays import RawArrays
from neurosearch.data.long_tail import Imbalance
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings, select, survey_checked


class MemorySource:
    """A source whose arrays are at hand."""

    def __init__(self, raw):
        self.raw = raw

    def identity(self):
        return "memory"

    def load(self):
        return self.raw


def raw_arrays(counts, layout="features"):
    y = np.repeat(np.arange(len(counts)), counts)
    shape = (len(y), 3) if layout == "features" else (len(y), 3, 3)
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return RawArrays(x, y, x, y, tuple(str(label) for label in range(len(counts))), layout, 1.0)


def test_the_parts_are_disjoint_and_have_the_profile():
    raw = raw_arrays((120, 100, 110))
    selection = select(PrepareSettings(Imbalance("exponential", 25), 0.25, 0, None), raw)
    assert not set(selection.train) & set(selection.validation)
    assert np.bincount(raw.y_train[selection.train]).tolist() == [75, 15, 3]
    assert np.bincount(raw.y_train[selection.validation]).tolist() == [25, 5, 1]


def test_without_imbalance_every_image_is_used():
    selection = select(PrepareSettings(None, 0.5, 0, None), raw_arrays((4, 6)))
    assert sorted([*selection.train, *selection.validation]) == list(range(10))


def test_the_seed_decides_alone():
    raw = raw_arrays((40, 40))
    settings = PrepareSettings(Imbalance("step", 2), 0.25, 3, None)
    first, second = select(settings, raw), select(settings, raw)
    other = select(PrepareSettings(Imbalance("step", 2), 0.25, 4, None), raw)
    assert np.array_equal(first.train, second.train)
    assert not np.array_equal(first.validation, other.validation)


@pytest.mark.parametrize(
    ("settings", "counts", "fields"),
    [
        (PrepareSettings(None, 0.2, 0, (8, 8)), (4, 4), ["data.resize"]),
        (PrepareSettings(None, 0.2, 0, None), (4, 1), ["data.validation_share"]),
        (PrepareSettings(Imbalance("step", 9), 0.2, 0, None), (5, 5), ["data.imbalance.ratio"]),
        (
            PrepareSettings(Imbalance("exponential", 16), 1.5, 0, None),
            (9, 9, 9),
            ["data.imbalance.ratio", "data.validation_share"],
        ),
        (
            PrepareSettings(Imbalance("exponential", 20), 0.2, 0, None),
            (10, 10, 10, 10),
            ["data.imbalance.ratio", "data.validation_share"],
        ),
    ],
)
def test_all_problems_come_in_one_error(settings, counts, fields):
    with pytest.raises(DataError) as caught:
        survey_checked(settings, MemorySource(raw_arrays(counts)))
    assert [problem.field for problem in caught.value.problems] == fields


def test_problems_of_the_arrays_and_of_the_resize_come_together():
    raw = raw_arrays((4, 0, 4))
    with pytest.raises(DataError) as caught:
        survey_checked(PrepareSettings(None, 0.2, 0, (8, 8)), MemorySource(raw))
    assert [problem.field for problem in caught.value.problems] == ["data.path", "data.path", "data.resize"]
