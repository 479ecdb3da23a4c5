import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.data.long_tail import Imbalance, check_imbalance, class_counts, subsample
from neurosearch.data.split import check_split

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
    assert "at most 2" in problem.text


@pytest.mark.parametrize("profile", ["exponential", "step"])
@pytest.mark.parametrize("largest", [2, 3, 49, 98, 103, 500])  # 98 * (1 / 49) is a little below 2
def test_the_ratio_that_is_advised_leaves_images_to_train_and_to_validate(profile, largest):
    names = tuple(map(str, range(4)))
    [problem] = check_imbalance(Imbalance(profile, 2 * largest), largest, names)
    advised = Imbalance(profile, int(re.search("at most ([0-9]+)", problem.text).group(1)))
    assert check_imbalance(advised, largest, names) == []
    assert check_split(class_counts(advised, largest, 4), names, 0.2) == []


def test_many_empty_classes_are_one_problem():
    [problem] = check_imbalance(Imbalance("step", 8), 5, tuple(map(str, range(99))))
    assert "class 68 and 30 more without a training image" in problem.text


@pytest.mark.parametrize("ratio", [0.5, -1.0, float("nan"), float("inf")])
def test_a_ratio_below_one_is_refused(ratio):
    [problem] = check_imbalance(Imbalance("exponential", ratio), 5000, CIFAR_NAMES)
    assert "at least 1" in problem.text


# What the public LDAM-DRW code gives for CIFAR-10 and CIFAR-100; the step profile keeps half of the classes whole.
PUBLISHED_CIFAR10 = {
    ("exponential", 10): (5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500),
    ("exponential", 20): (5000, 3584, 2569, 1842, 1320, 946, 678, 486, 348, 250),
    ("exponential", 50): (5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100),
    ("exponential", 200): (5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25),
    ("exponential", 500): (5000, 2506, 1256, 629, 315, 158, 79, 39, 19, 10),
    ("step", 10): (5000,) * 5 + (500,) * 5,
    ("step", 200): (5000,) * 5 + (25,) * 5,
}


@pytest.mark.parametrize(("profile", "ratio"), PUBLISHED_CIFAR10)
def test_every_published_ratio_gives_the_published_counts(profile, ratio):
    assert class_counts(Imbalance(profile, ratio), 5000, 10) == PUBLISHED_CIFAR10[profile, ratio]


@pytest.mark.parametrize(
    ("profile", "ratio", "total"),
    [("exponential", 10, 19_573), ("exponential", 500, 8_155), ("step", 200, 25_100), ("step", 500, 25_050)],
)
def test_cifar100_has_the_published_number_of_images(profile, ratio, total):
    assert sum(class_counts(Imbalance(profile, ratio), 500, 100)) == total


# The first eight images of each class that the public code keeps at ratio 100, counted within the class.
PUBLISHED_POSITIONS = (
    (398, 3833, 4836, 4572, 636, 2545, 1161, 2230),
    (597, 332, 521, 3935, 4800, 1102, 4304, 1826),
    (3488, 1136, 3494, 2945, 4518, 4011, 1334, 2833),
    (3542, 3307, 4529, 1646, 2583, 2144, 297, 3488),
    (2583, 3687, 4719, 980, 168, 31, 1781, 3156),
    (4127, 1152, 4595, 4590, 2270, 492, 1894, 1915),
    (1042, 3356, 441, 1554, 3543, 720, 2921, 4588),
    (3860, 271, 757, 4394, 475, 1805, 2429, 3412),
    (1905, 4623, 1694, 4227, 2715, 3889, 1143, 1516),
    (2204, 3816, 2206, 2507, 1926, 4765, 368, 3808),
)


def test_seed_0_keeps_the_published_images_of_cifar10():
    labels = np.tile(np.arange(10), 5000)  # in whichever order the classes come
    counts = class_counts(Imbalance("exponential", 100), 5000, 10)
    kept = subsample(labels, counts, 0)
    firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    found = [tuple((kept[first : first + 8] // 10).tolist()) for first in firsts]
    assert tuple(found) == PUBLISHED_POSITIONS
