"""Numbers as people read them: in a unit that fits, with as many digits as say something. Imports names alone."""

import math

from neurosearch import names

_MOST_DECIMALS = 9
_DIGITS = 3  # of a time, which needs no more


def number(metric: str, value: float | None) -> str:
    """Writes the value of a metric: 0.9123, 5,432 parameters as 5,432, a latency as 0.0342 ms.

    Sizes are whole, times are in milliseconds with three digits, the rest has four decimals, or more where fewer than
    two digits of it would show.
    """
    if value is None or not math.isfinite(value):
        return "-"
    if metric in names.SIZES:
        return f"{value:,.0f}"
    factor, unit = unit_of(metric)
    scaled = factor * value
    fewest = 0 if unit else 4 if abs(scaled) < 1000 else 1
    decimals = min(max(fewest, places(scaled, _DIGITS if unit else 2)), _MOST_DECIMALS)
    return f"{scaled:,.{decimals}f}{unit}"


def figure(value: float, decimals: int, *, signed: bool = False) -> str:
    """Writes a number with so many decimals and no zero before the point: .021, +.021, -1,204."""
    text = f"{value:+,.{decimals}f}" if signed else f"{value:,.{decimals}f}"
    if not float(text.replace(",", "")):
        return "0"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def unit_of(metric: str) -> tuple[float, str]:
    """Returns by what values of a metric are multiplied to be written, and what stands behind them."""
    return (1000.0, " ms") if metric == names.LATENCY_SECONDS else (1.0, "")


def places(scale: float, digits: int) -> int:
    """Returns how many decimals show so many digits of a number; fewer than none for a large one."""
    is_number = scale != 0 and math.isfinite(scale)
    return digits - 1 - math.floor(math.log10(abs(scale))) if is_number else 0
