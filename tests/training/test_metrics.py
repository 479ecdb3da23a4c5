import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch import names
from neurosearch.training.metrics import ClassificationTally, classification_scores


def test_scores_of_a_matrix_worked_by_hand():
    matrix = [[8, 2, 0], [1, 3, 0], [0, 1, 1]]
    assert classification_scores(matrix, [500, 100, 19], ["cat", "dog", "eel"]) == {
        names.ACCURACY: 12 / 16,
        names.BALANCED_ACCURACY: pytest.approx((0.8 + 0.75 + 0.5) / 3),
        names.WORST_CLASS_RECALL: 0.5,
        names.MANY_RECALL: 0.8,
        names.MEDIUM_RECALL: 0.75,
        names.FEW_RECALL: 0.5,
        "recall/cat": 0.8,
        "recall/dog": 0.75,
        "recall/eel": 0.5,
    }


@pytest.mark.parametrize(
    ("count", "group"),
    [(101, names.MANY_RECALL), (100, names.MEDIUM_RECALL), (20, names.MEDIUM_RECALL), (19, names.FEW_RECALL)],
)
def test_the_groups_bounds_are_those_of_the_long_tail_literature(count, group):
    scores = classification_scores([[1, 0], [0, 1]], [count, count], ["a", "b"])
    groups = {names.MANY_RECALL, names.MEDIUM_RECALL, names.FEW_RECALL}
    assert groups & scores.keys() == {group}


def test_a_class_without_validation_examples_is_absent():
    scores = classification_scores([[3, 1], [0, 0]], [500, 5], ["a", "b"])
    assert scores[names.BALANCED_ACCURACY] == 0.75
    assert "recall/b" not in scores
    assert names.FEW_RECALL not in scores


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 5), st.integers(1, 7))
@settings(deadline=None, max_examples=50)
def test_a_tally_over_batches_counts_each_example_once(seed, num_examples, num_classes, batch_size):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_examples, num_classes, dtype=torch.float64, generator=generator)
    labels = torch.randint(num_classes, (num_examples,), generator=generator)
    tally = ClassificationTally([7] * num_classes, [str(i) for i in range(num_classes)])
    for x, y in zip(logits.split(batch_size), labels.split(batch_size), strict=True):
        tally.add(x, y)
    metrics = tally.metrics(tally.sums().tolist())
    correct = logits.argmax(1) == labels
    recalls = [correct[labels == i].double().mean().item() for i in labels.unique()]
    assert metrics[names.ACCURACY] == pytest.approx(correct.double().mean().item())
    assert metrics[names.BALANCED_ACCURACY] == pytest.approx(sum(recalls) / len(recalls))
    assert metrics[names.WORST_CLASS_RECALL] == pytest.approx(min(recalls))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert metrics[names.VALIDATION_LOSS] == pytest.approx(loss.item())
