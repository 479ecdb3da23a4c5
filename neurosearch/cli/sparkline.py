"""A course of numbers as one word: a line of little bars."""

from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"
#: For terminals that write no Unicode.
PLAIN_BARS = "_.-=+*%#"


def sparkline(values: Sequence[float], width: int, bars: str = BARS) -> str:
    """Draws values as bars from their own least to their own greatest; equal values are half high.

    Args:
        values: In the order of time, finite.
        width: Most characters; of more values each character shows the mean of neighbours.
        bars: From the lowest to the highest.
    """
    if not values or width < 1:
        return ""
    means = _means(values, min(width, len(values)))
    low, high = min(means), max(means)
    if low == high:
        return bars[len(bars) // 2 - 1] * len(means)
    return "".join(bars[round((mean - low) / (high - low) * (len(bars) - 1))] for mean in means)


def _means(values: Sequence[float], count: int) -> list[float]:
    """Returns means of `count` stretches of nearly equal length."""
    ends = [len(values) * index // count for index in range(count + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(ends)]
