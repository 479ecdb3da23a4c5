import torch
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.training.scores import head_classes, only_classes


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_head_classes_are_the_largest_third(class_counts):
    head = head_classes(class_counts)
    rest = [count for label, count in enumerate(class_counts) if label not in head]
    assert len(head) == -(-len(class_counts) // 3)
    assert not rest or min(class_counts[label] for label in head) >= max(rest)


def test_the_earlier_class_wins_a_tie():
    assert head_classes([5, 5, 5, 5]) == [0, 1]


def test_only_examples_of_the_classes_stay_and_empty_batches_go():
    batches = [
        (torch.arange(4.0).view(4, 1), torch.tensor([0, 1, 2, 1])),
        (torch.arange(2.0).view(2, 1), torch.tensor([0, 0])),
    ]
    kept = only_classes(batches, [1, 2])
    assert [(x.flatten().tolist(), y.tolist()) for x, y in kept] == [([1.0, 2.0, 3.0], [1, 2, 1])]
