"""The learning rate as a function of the epoch.

It changes between epochs only: the same at every step of an epoch, so a step pays nothing for it and an epoch boundary
is all that a checkpoint must know.
"""

from math import cos, pi
from typing import assert_never

from neurosearch.epochs import epochs_until
from neurosearch.training.settings import TrainingSettings


def learning_rate_factor(settings: TrainingSettings, epoch: int) -> float:
    """Return the multiplier of the learning rate during epoch `epoch`, counted from 0.

    Warm-up rises linearly and reaches 1 in its last epoch. `cosine` falls from 1 towards 0 over the epochs after
    warm-up; `step` multiplies by `drop_factor` from the epoch on that begins at or after each share in `drops`.
    """
    if epoch < settings.warmup_epochs:
        return (epoch + 1) / settings.warmup_epochs
    match settings.schedule:
        case "constant":
            return 1.0
        case "cosine":
            share = (epoch - settings.warmup_epochs) / max(1, settings.epochs - settings.warmup_epochs)
            return (1 + cos(pi * share)) / 2
        case "step":
            num_drops = sum(epoch >= epochs_until(share, settings.epochs) for share in settings.drops)
            return settings.drop_factor**num_drops
        case _:
            assert_never(settings.schedule)
