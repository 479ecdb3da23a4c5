from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.data.long_tail import Imbalance, check_imbalance, class_counts, subsample

CIFAR_NAMES = tuple(str(label) for label in range(10))


def test_exponential_counts_equal_the_published_ones():
    counts = class_counts(Imbalance("exponential", 100), 5000, 10)
    assert counts == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    assert sum(counts) == 12_406
    assert sum(class_counts(Imbalance("exponential", 100), 500, 100)) == 10_847


def test_mnist_counts_equal_the_published_ones():
    counts = class_counts(Imbalance("exponential", 100), 5421, 10)
    assert (counts[0], counts[-1], sum(counts)) == (5421, 54, 13_449)


def test_step_cuts_the_second_half():
    assert class_counts(Imbalance("step", 100), 5000, 10) == (5000,) * 5 + (50,) * 5
    assert class_counts(Imbalance("step", 3), 10, 3) == (10, 3, 3)


def test_the_kept_images_equal_the_published_drawing():
    labels = np.tile(np.arange(3), 20)
    generator = np.random.RandomState(0)
    expected = []
    for label, count in enumerate((20, 6, 2)):
        positions = np.where(labels == label)[0]
        generator.shuffle(positions)
        expected += positions[:count].tolist()
    assert subsample(labels, (20, 6, 2), 0).tolist() == expected


@given(
    largest=st.integers(1, 10_000),
    num_classes=st.integers(2, 50),
    ratio=st.floats(1, 1000),
    profile=st.sampled_from(["exponential", "step"]),
)
@settings(deadline=None)
def test_counts_start_at_the_largest_and_never_rise(largest, num_classes, ratio, profile):
    counts = class_counts(Imbalance(profile, ratio), largest, num_classes)
    assert len(counts) == num_classes
    assert counts[0] == largest
    assert all(first >= second for first, second in pairwise(counts))
    assert counts[-1] <= largest / ratio * (1 + 1e-9)


@given(counts=st.lists(st.integers(0, 8), min_size=2, max_size=5), seed=st.integers(0, 2**40))
@settings(deadline=None)
def test_subsampling_keeps_exactly_the_counts_in_label_order(counts, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), 8))
    kept = subsample(labels, tuple(counts), seed)
    assert len(set(kept.tolist())) == sum(counts)
    assert labels[kept].tolist() == sorted(labels[kept].tolist())
    assert np.bincount(labels[kept], minlength=len(counts)).tolist() == counts


def test_an_empty_class_is_named():
    [problem] = check_imbalance(Imbalance("step", 8), 5, ("cat", "dog"))
    assert problem.field == "data.imbalance.ratio"
    assert "class 1 (dog)" in problem.text
    assert "at most 5" in problem.text


@pytest.mark.parametrize("ratio", [0.5, -1.0, float("nan"), float("inf")])
def test_a_ratio_below_one_is_refused(ratio):
    [problem] = check_imbalance(Imbalance("exponential", ratio), 5000, CIFAR_NAMES)
    assert "at least 1" in problem.text
