"""Numbers as the report writes them."""

import math

from neurosearch import names
from neurosearch.search.statistics import figure

_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def value_words(metric: str, value: float | None) -> str:
    """Writes the value of a metric: sizes whole, times in milliseconds, the rest with three decimals."""
    if value is None or not math.isfinite(value):
        return "-"
    if metric in names.SIZES:
        return f"{value:,.0f}"
    if metric == names.LATENCY_SECONDS:
        return f"{1000 * value:.3g} ms"
    return figure(value, 3 if abs(value) < 1000 else 1)


def amount(value: float) -> str:
    """Writes a large number with three digits and its unit, such as 12.3 G."""
    for unit, letter in _UNITS:
        if abs(value) >= unit:
            return f"{value / unit:.3g} {letter}"
    return f"{value:.0f}"


def title(metric: str) -> str:
    """Writes the name of a metric as a title: balanced_accuracy as balanced accuracy."""
    return metric.replace("_", " ")


def plural(count: int, word: str) -> str:
    """Writes a count of things: 1 trial, 2 trials."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
