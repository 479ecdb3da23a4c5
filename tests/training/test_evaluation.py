import pytest
import torch

from neurosearch import names
from neurosearch.training.evaluation import evaluate
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.tasks import Classification


class TwoBatches:
    def validation(self):
        yield torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
        yield torch.tensor([[0.0, 3.0]]), torch.tensor([1])


def test_scores_cover_every_batch_and_sums_come_along():
    task = Classification(CrossEntropy("cross_entropy", None), [5, 5], ["a", "b"])
    sums = torch.tensor([1.5, 2.5], dtype=torch.float64)
    scores, fetched = evaluate(lambda inputs: inputs, TwoBatches(), task, sums)
    assert fetched == [1.5, 2.5]
    assert scores[names.ACCURACY] == pytest.approx(2 / 3)
    assert scores["recall/a"] == 0.5
    assert scores["recall/b"] == 1.0
