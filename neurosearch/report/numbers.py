"""Numbers as the report writes them."""

import math

from neurosearch import names
from neurosearch.numbers import figure, places, unit_of
from neurosearch.search.statistics import Estimate

_MOST_DECIMALS = 9
_UNITS = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def value_words(metric: str, value: float | None) -> str:
    """Writes the value of a metric: sizes whole, times in milliseconds, the rest with three decimals or more."""
    if value is None or not math.isfinite(value):
        return "-"
    factor, unit = unit_of(metric)
    return f"{figure(factor * value, _decimals(metric, value))}{unit}"


def mean_words(metric: str, found: Estimate) -> str:
    """Writes the mean of a metric, with its interval where there is one that has a width: .412 (.405 to .419) ms."""
    factor, unit = unit_of(metric)
    if found.low is None or found.high is None or found.low == found.high:
        return value_words(metric, found.mean)
    decimals = _decimals(metric, found.mean, found.low, found.high)
    mean, low, high = (figure(factor * value, decimals) for value in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high}){unit}"


def change_words(metric: str, found: Estimate) -> tuple[str, str]:
    """Writes a mean difference with its sign, and its interval; that is empty where there is none."""
    if not math.isfinite(found.mean):
        return "-", ""
    factor, unit = unit_of(metric)
    if found.low is None or found.high is None:
        return f"{figure(factor * found.mean, _decimals(metric, found.mean), signed=True)}{unit}", ""
    decimals = _decimals(metric, found.mean, found.low, found.high)
    low, high = (figure(factor * value, decimals) for value in (found.low, found.high))
    return f"{figure(factor * found.mean, decimals, signed=True)}{unit}", f"{low} to {high}{unit}"


def _decimals(metric: str, *values: float) -> int:
    """Returns with how many decimals values are written beside each other: two digits of the largest show at least.

    Of a mean and the ends of its interval a digit of the half width shows, too.
    """
    if metric in names.SIZES:
        return 0
    factor, unit = unit_of(metric)
    largest, half_width = factor * max(map(abs, values)), factor * (max(values) - min(values)) / 2
    fewest = 0 if unit else 3 if largest < 1000 else 1
    wanted = [places(largest, 3 if unit else 2), places(half_width, 1)]
    return min(max(fewest, *wanted), _MOST_DECIMALS)


def amount(value: float) -> str:
    """Writes a large number with three digits and its unit, such as 12.3 G."""
    rounded = float(f"{value:.3g}")  # first: 999,600 is 1 M, and not 1e+03 k
    for unit, letter in _UNITS:
        if abs(rounded) >= unit:
            return f"{rounded / unit:.3g} {letter}"
    return f"{rounded:.0f}"


def title(metric: str) -> str:
    """Writes the name of a metric as a title: balanced_accuracy as balanced accuracy."""
    return metric.replace("_", " ")


def plural(count: int, word: str) -> str:
    """Writes a count of things: 1 trial, 2 trials."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
