import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.data.split import check_split, stratified_split

counts_of_classes = st.lists(st.integers(2, 60), min_size=1, max_size=6)


def shuffled_labels(counts):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


@given(counts=counts_of_classes, share=st.floats(0.01, 0.99), seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_the_parts_are_disjoint_whole_and_stratified(counts, share, seed):
    labels = shuffled_labels(counts)
    kept, held_out = stratified_split(labels, share, seed)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        num_held_out = int((labels[held_out] == label).sum())
        assert 1 <= num_held_out < count
        assert num_held_out in (1, count - 1) or abs(num_held_out - share * count) <= 0.5


@given(counts=counts_of_classes, seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_the_same_seed_gives_the_same_parts(counts, seed):
    labels = shuffled_labels(counts)
    for first, second in zip(stratified_split(labels, 0.3, seed), stratified_split(labels, 0.3, seed), strict=True):
        assert np.array_equal(first, second)


def test_another_seed_holds_out_other_images():
    labels = shuffled_labels([50, 50])
    assert stratified_split(labels, 0.3, 0)[1].tolist() != stratified_split(labels, 0.3, 1)[1].tolist()


def test_a_class_with_one_image_is_named_with_its_count():
    [problem] = check_split((5, 1), ("cat", "dog"), 0.2)
    assert problem.field == "data.validation_share"
    assert "class 1 (dog) has 1 training image" in problem.text
    assert "at least 2 images (3 where data.test_share holds one of them out)" in problem.text


def test_many_classes_with_one_image_are_one_problem():
    [problem] = check_split((1,) * 99, tuple(map(str, range(99))), 0.2)
    assert "class 19 and 79 more have 1 training image" in problem.text


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(share):
    assert "between 0 and 1" in check_split((5, 5), ("cat", "dog"), share)[0].text
