"""Ends a training whose numbers are no numbers any more, with a reason a user can act on."""

from collections.abc import Mapping
from math import isfinite

from neurosearch.training.records import TrialFailed

_REMEDY = "Lower training.learning_rate, add training.warmup_epochs, or switch training.bf16 off if it is on."


def check_losses(losses: Mapping[str, float], epoch: int, first_step: int, last_step: int) -> None:
    """Check the sums of losses over some steps.

    Args:
        losses: Sum by name of the loss.
        epoch: The epoch under way, counted from 1.
        first_step: First of the steps summed over, counted from 1.
        last_step: Last of them.

    Raises:
        TrialFailed: One is not finite.
    """
    for name, value in losses.items():
        if not isfinite(value):
            raise TrialFailed(
                f"the {name} loss became {value} in epoch {epoch}, between steps {first_step} and {last_step}. "
                f"{_REMEDY}"
            )


def check_scores(scores: Mapping[str, float], epoch: int, step: int) -> None:
    """Check what an evaluation found.

    Raises:
        TrialFailed: A score is not finite: the last update has ruined the weights.
    """
    for name, value in scores.items():
        if not isfinite(value):
            raise TrialFailed(
                f"{name} is {value} after epoch {epoch} (step {step}), though the losses of its steps were finite. "
                f"{_REMEDY}"
            )
