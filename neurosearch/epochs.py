"""Shares of a training in whole epochs, whatever binary fractions make of a decimal share."""

import math

_ROUNDING = 1e-9  # of an epoch: 0.7 * 90 is a little below 63, and 0.55 * 100 a little above 55


def epochs_within(share: float, epochs: int) -> int:
    """Return how many whole epochs are over when a share of them is: 63 for 0.7 of 90."""
    return math.floor(share * epochs + _ROUNDING)


def epochs_until(share: float, epochs: int) -> int:
    """Return after how many whole epochs a share of them is over: 55 for 0.55 of 100, 6 for 0.55 of 10."""
    return math.ceil(share * epochs - _ROUNDING)
