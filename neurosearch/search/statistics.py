"""What values on a few seeds say: mean and interval, and whether the winner differs from the control.

Winner and control are trained on the same fresh seeds, so their difference is judged seed by seed (paired): what a seed
does to both cancels out. The headline is the paired t-test with its interval, which takes the differences to be normal.
The exact sign-flip test stands beside it, which takes nothing but that without an effect a difference may as well have
the other sign; with n seeds its p cannot fall below 2 / 2^n (.0625 for five), so alone it could never be clear on few.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from neurosearch import names
from neurosearch.config.search import Direction
from neurosearch.numbers import figure, places, unit_of

#: `too_few`: fewer than three seeds, whose interval says nothing.
Answer = Literal["helped", "unclear", "harmed", "too_few"]
CONFIDENCE = 0.95
#: Below it nothing is called clear.
FEWEST_SEEDS = 3
_ROUNDING = 2**-40  # far above what sums round by, as a share of them, and far below any score
_MOST_FLIPPED = 20  # a million sums; more seeds need no exact test


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: The mean; NaN where a value is not finite.
        low: Lower end of its 95 % interval (Student's t); None for a single seed, or where a value is not finite.
        high: Upper end of it.
        num_seeds: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    num_seeds: int


@dataclass(frozen=True)
class Comparison:
    """Winner minus control in one metric, over common seeds.

    Attributes:
        metric: Name of the metric.
        direction: Whether more or less of it is better.
        winner: The winner on each seed and over all.
        control: The control likewise.
        difference: Mean of winner minus control, with the interval of the paired t-test (see `paired`).
        p: Two-sided p of the paired t-test, the headline; None for a single seed, or where a value is not finite.
        p_sign_flip: Two-sided p of the exact sign-flip test; None likewise, or for more than 20 seeds.
        answer: What that says about changing neurons.
    """

    metric: str
    direction: Direction
    winner: Estimate
    control: Estimate
    difference: Estimate
    p: float | None
    p_sign_flip: float | None
    answer: Answer

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return asdict(self)


def estimate(values: Sequence[float]) -> Estimate:
    """Returns mean and 95 % interval of at least one value.

    Where one is not finite the mean is NaN, without an interval: scores on the test part may be so, since nothing ends
    a training by them.
    """
    if not _are_finite(values):
        return Estimate(math.nan, None, None, len(values))
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Estimate(mean, None, None, 1)
    room = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * _standard_error(values)
    return Estimate(mean, mean - room, mean + room, len(values))


def compare(metric: str, direction: Direction, winner: Sequence[float], control: Sequence[float]) -> Comparison:
    """Compares winner and control over common seeds.

    Args:
        metric: Name of the metric.
        direction: Whether more or less of it is better.
        winner: The winner's value on each seed, at least one.
        control: The control's value on the same seeds, in the same order.
    """
    differences = [ours - theirs for ours, theirs in zip(winner, control, strict=True)]
    difference, p = paired(metric, differences)
    return Comparison(
        metric,
        direction,
        estimate(winner),
        estimate(control),
        difference,
        p,
        sign_flip(differences),
        answer_of(difference, p, direction),
    )


def paired(metric: str, differences: Sequence[float]) -> tuple[Estimate, float | None]:
    """Tests values that are pairs by their differences (paired t-test).

    Differences that are all the same have no spread to test by. Those of sizes leave no doubt: p is 1 if they are 0,
    otherwise 0. Scores that differ so are coarse, not certain: they have no interval, and p is that of the sign flips.

    Returns:
        The mean difference with its 95 % interval, and the two-sided p; of a single difference there is neither, nor
        where one is not finite.
    """
    found, count = estimate(differences), len(differences)
    if count < 2 or not math.isfinite(found.mean):
        return found, None
    error = _standard_error(differences)
    if error > 0:
        return found, 2 * float(stdtr(count - 1, -abs(found.mean) / error))
    if _is_size(metric):
        return found, float(found.mean == 0)
    return replace(found, low=None, high=None), 2.0 ** (1 - count) if found.mean else 1.0


def welch(metric: str, ours: Sequence[float], theirs: Sequence[float]) -> tuple[Estimate, float | None]:
    """Compares values that are no pairs (Welch's t-test, for unequal variances).

    Returns:
        Mean of ours minus theirs with its 95 % interval, whose number of seeds is the smaller of both, and the
        two-sided p. There is neither with a single value on either side, nor where scores do not vary on both or a
        value is not finite.
    """
    mean = estimate(ours).mean - estimate(theirs).mean
    num_seeds = min(len(ours), len(theirs))
    if num_seeds < 2 or not math.isfinite(mean):
        return Estimate(mean, None, None, num_seeds), None
    errors = [_standard_error(values) ** 2 for values in (ours, theirs)]
    error = math.sqrt(sum(errors))
    if error == 0:
        exact = Estimate(mean, mean, mean, num_seeds), float(mean == 0)
        return exact if _is_size(metric) else (Estimate(mean, None, None, num_seeds), None)
    freedom = error**4 / sum(each**2 / (len(values) - 1) for each, values in zip(errors, (ours, theirs), strict=True))
    room = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Estimate(mean, mean - room, mean + room, num_seeds), 2 * float(stdtr(freedom, -abs(mean) / error))


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Returns p values corrected for their number, so that all of them together err as seldom as one (Holm 1979)."""
    order = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for place, (p, index) in enumerate(order):
        largest = max(largest, min((len(order) - place) * p, 1.0))
        corrected[index] = largest
    return tuple(corrected)


def sign_flip(differences: Sequence[float]) -> float | None:
    """Returns the two-sided p of the exact sign-flip test: the share of all 2^n sign patterns with a sum as large.

    None for a single difference, for more than 20 of them, or where one is not finite.
    """
    if not 2 <= len(differences) <= _MOST_FLIPPED or not _are_finite(differences):
        return None
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    slack = math.fsum(map(abs, differences)) * _ROUNDING  # patterns of equal sums may round apart
    return float((np.abs(sums) >= abs(math.fsum(differences)) - slack).mean())


def words(
    comparisons: Sequence[Comparison], *, fixed_winner: bool, subject: str, changed: bool = True
) -> tuple[str, ...]:
    """Says for people whether changing neurons helped, one line for each objective and one for what it means.

    Args:
        comparisons: The best of the search against the control, one for each objective.
        fixed_winner: Whether the study's winner is a network whose neurons never changed.
        subject: What the control is compared with, as the subject of a sentence.
        changed: Whether its neurons changed; where they did not, nothing was tested.
    """
    if fixed_winner:
        lines = [f"{subject} has {each.metric} {difference_words(each)} against the control." for each in comparisons]
        if not changed:
            said = "none whose neurons changed stands beside it: whether changing neurons helps was not tested."
            return (f"The winner is a fixed network, and {said}", *lines)
        if comparisons[0].answer == "too_few":
            said = "on too few seeds to say whether changing neurons helped."
            return (f"The winner is itself a fixed network, {said}", *lines)
        return ("The winner is itself a fixed network: changing neurons did not help here.", *lines)
    return (*(_sentence(each) for each in comparisons), *_advice(comparisons))


def _sentence(comparison: Comparison) -> str:
    figures = f"{comparison.metric} {difference_words(comparison)}"
    match comparison.answer:
        case "helped":
            return f"Changing neurons helped: {figures} against the control."
        case "harmed":
            return f"Changing neurons harmed: {figures} against the control."
        case "unclear":
            return f"No clear difference between changing and fixed neurons: {figures} against the control."
        case "too_few":
            return f"Too few seeds to say whether changing neurons helped: {figures} against the control."


def _advice(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    unsure = {comparison.answer for comparison in comparisons} & {"unclear", "too_few"}
    return ("More fresh_seeds would narrow the interval.",) if unsure else ()


def difference_words(comparison: Comparison) -> str:
    """Writes +.021 (95 % interval .004 to .038, 5 seeds, p = .02)."""
    factor, unit = unit_of(comparison.metric)
    found = _scaled(comparison.difference, factor)
    mean, low, high, seeds = found.mean, found.low, found.high, found.num_seeds
    if not math.isfinite(mean):
        return "unknown (not a finite number on every seed)"
    if comparison.p is None:
        return f"{figure(mean, _decimals(mean), signed=True)}{unit} (1 seed)"
    p = "p < .001" if comparison.p < 0.001 else f"p = {figure(comparison.p, _decimals(comparison.p))}"
    if low is None or high is None:
        return f"{figure(mean, _decimals(mean), signed=True)}{unit} (the same on all {seeds} seeds, {p})"
    decimals = _decimals((high - low) / 2 or mean)
    interval = f"{figure(low, decimals)} to {figure(high, decimals)}{unit}"
    return f"{figure(mean, decimals, signed=True)}{unit} (95 % interval {interval}, {seeds} seeds, {p})"


def estimate_words(metric: str, estimated: Estimate) -> str:
    """Writes .871 (95 % interval .852 to .890); the mean alone of values that are all the same."""
    factor, unit = unit_of(metric)
    found = _scaled(estimated, factor)
    if found.low is None or found.high is None or found.low == found.high:
        return f"{figure(found.mean, _decimals(found.mean))}{unit}"
    decimals = _decimals((found.high - found.low) / 2 or found.mean)
    interval = f"{figure(found.low, decimals)} to {figure(found.high, decimals)}{unit}"
    return f"{figure(found.mean, decimals)}{unit} (95 % interval {interval})"


def _scaled(found: Estimate, factor: float) -> Estimate:
    low, high = (None if end is None else factor * end for end in (found.low, found.high))
    return Estimate(factor * found.mean, low, high, found.num_seeds)


def _decimals(scale: float) -> int:
    """Returns how many decimals show two digits of a number."""
    return min(max(places(scale, 2), 0), 6)


def answer_of(difference: Estimate, p: float | None, direction: Direction) -> Answer:
    """Returns what a difference says: it is clear where p is below .05.

    Args:
        difference: The difference.
        p: Its p, corrected where several are looked at together; None where there is none.
        direction: Whether more or less is better.
    """
    if difference.num_seeds < FEWEST_SEEDS:
        return "too_few"
    if p is None or p >= 1 - CONFIDENCE:
        return "unclear"
    return "helped" if (difference.mean > 0) == (direction == "maximize") else "harmed"


def _are_finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def _is_size(metric: str) -> bool:
    return metric in names.SIZES


def _standard_error(values: Sequence[float]) -> float:
    """Returns the standard error of the mean; exactly 0 for values that differ by no more than rounding."""
    if max(values) - min(values) <= _ROUNDING * max(map(abs, values)):
        return 0.0
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))
