import math

import pytest

from neurosearch.training.health import check_losses, check_scores
from neurosearch.training.records import TrialFailed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_trial_with_where_and_a_remedy(value):
    with pytest.raises(TrialFailed) as failure:
        check_losses({"cross_entropy": 1.0, "size": value}, epoch=3, first_step=41, last_step=60)
    reason = failure.value.reason
    assert f"the size loss became {value} in epoch 3, between steps 41 and 60" in reason
    assert "Lower training.learning_rate" in reason


def test_a_score_that_is_no_number_ends_the_trial():
    with pytest.raises(TrialFailed, match=r"validation_loss is nan after epoch 2 \(step 40\)"):
        check_scores({"accuracy": 0.5, "validation_loss": math.nan}, epoch=2, step=40)


def test_numbers_pass():
    check_losses({"cross_entropy": 0.0}, 1, 1, 1)
    check_scores({"accuracy": 1.0}, 1, 1)
