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
        names.HEAD_RECALL: 0.8,
        names.MIDDLE_RECALL: 0.75,
        names.TAIL_RECALL: 0.5,
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
    tally = ClassificationTally([7] * num_classes, [str(i) for i in range(num_classes)], None)
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


THIRDS = (names.HEAD_RECALL, names.MIDDLE_RECALL, names.TAIL_RECALL)


@pytest.mark.parametrize(
    ("counts", "thirds"),
    [
        ([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9]]),
        ([1, 5, 3], [[1], [2], [0]]),
        ([7, 7, 7, 7, 7], [[0, 1], [2], [3, 4]]),
        ([2, 9], [[1], [], [0]]),
    ],
)
def test_thirds_go_by_falling_count(counts, thirds):
    size = len(counts)
    matrix = [[0] * size for _ in range(size)]
    for label in range(size):  # class 0 is always right, class 1 one time in 2, and so on
        matrix[label][label] += 1
        matrix[label][(label + 1) % size] += label
    scores = classification_scores(matrix, counts, [str(i) for i in range(size)])
    recalls = {i: 1 / (1 + i) for i in range(size)}
    for name, members in zip(THIRDS, thirds, strict=True):
        assert (name in scores) == bool(members)
        if members:
            assert scores[name] == pytest.approx(sum(recalls[i] for i in members) / len(members))


def tallied(logits, labels, shifts=None):
    tally = ClassificationTally([7] * logits.shape[1], [str(i) for i in range(logits.shape[1])], shifts)
    for x, y in zip(logits.split(4), labels.split(4), strict=True):
        tally.add(x, y)
    sums = tally.sums().tolist()
    return tally.metrics(sums), tally.matrix(sums)


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.1, 20))
@settings(deadline=None, max_examples=50)
def test_calibration_error_is_that_of_fifteen_bins_of_confidence(seed, num_examples, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(num_examples, 3, dtype=torch.float64, generator=generator)
    labels = torch.randint(3, (num_examples,), generator=generator)
    confidence, predicted = logits.softmax(1).max(1)
    expected = 0.0
    for index in range(15):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        if inside.any():
            gap = confidence[inside].mean() - (predicted == labels)[inside].double().mean()
            expected += inside.sum().item() / num_examples * abs(gap.item())
    assert tallied(logits, labels)[0][names.CALIBRATION_ERROR] == pytest.approx(expected, abs=1e-9)


def test_a_sure_and_right_network_is_calibrated_and_a_sure_and_wrong_one_is_not():
    logits = torch.tensor([[100.0, 0.0], [0.0, 100.0]])
    assert tallied(logits, torch.tensor([0, 1]))[0][names.CALIBRATION_ERROR] == 0
    assert tallied(logits, torch.tensor([1, 0]))[0][names.CALIBRATION_ERROR] == 1


def test_shifts_are_subtracted_before_anything_is_scored():
    logits, labels = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    shifts = torch.tensor([1.0, -1.0, 0.5])
    assert tallied(logits, labels, shifts) == tallied(logits - shifts, labels)
    assert tallied(logits, labels, shifts) != tallied(logits, labels)


def test_the_matrix_has_true_classes_in_its_rows():
    logits = torch.eye(3)[[0, 1, 1, 2]]
    assert tallied(logits, torch.tensor([0, 1, 2, 2]))[1] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
