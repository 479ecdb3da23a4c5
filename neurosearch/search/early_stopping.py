"""Early stopping for networks that change size: asynchronous halving as a pure function of reports.

Source: arXiv:1810.05934 (Algorithm 2), in its stopping variant: a trial that reaches a rung goes on if its report there
is among the best 1 / reduction of all reports at that rung so far, and stops for good otherwise.

The resource of a rung is the compute spent, in multiply-adds of training, not epochs: at equal epochs a large network
has spent more and looks better than a small one that will end as good. A report counts only where the growth policy is
at rest (the network has its base size, or its size has settled) and has trained since neurons last left it: neither an
overgrown network nor one that was pruned a moment ago is what is deployed.

A decision depends on reports alone. There is no state to lose, and the order in which trials arrived does not matter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosearch.config.search import Direction
from neurosearch.search.front import Floats, as_losses, margins, non_dominated_ranks

_JUDGED_SHARE = 2 / 3  # of a trial's epochs; to stop later saves little, and loses what the search learns from an end


@dataclass(frozen=True)
class Report:
    """What a trial had to show at the end of an epoch.

    Attributes:
        epoch: Whole epochs done.
        cost: Multiply-adds of training spent since the trial's start.
        values: The objectives, in the order of the config. Finite.
        violation: Sum of the excesses over the size limit and the constraints, as shares of them; 0 or less: none.
        at_rest: Whether the network showed what could be deployed (`may_be_judged`).
    """

    epoch: int
    cost: float
    values: tuple[float, ...]
    violation: float
    at_rest: bool


@dataclass(frozen=True)
class Curve:
    """The reports of a trial.

    Attributes:
        number: The study's number of the trial.
        reports: In the order of their epochs; costs never fall.
        finished: Whether it ended by itself, its last report being its final value; stopped and failed ones did not.
    """

    number: int
    reports: tuple[Report, ...]
    finished: bool

    def until(self, epoch: int) -> "Curve":
        """Returns the curve up to this epoch."""
        return Curve(self.number, tuple(each for each in self.reports if each.epoch <= epoch), self.finished)


@dataclass(frozen=True)
class Halving:
    """The rule.

    Attributes:
        reduction: At each rung the best 1 / reduction go on.
        levels: Cost of each rung, rising (`rung_levels`).
        metrics: Name of each objective.
        directions: Direction of each objective.
    """

    reduction: int
    levels: tuple[float, ...]
    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]


@dataclass(frozen=True)
class Verdict:
    """A decision on a running trial.

    Attributes:
        stop: Whether it ends here.
        rung: The rung at which it was judged; None when there was nothing to judge.
        reason: Why, in words.
    """

    stop: bool
    rung: int | None
    reason: str


def may_be_judged(at_rest: bool, epoch: int, events: Iterable[Mapping[str, Any]]) -> bool:
    """Tells whether what a network shows after an epoch may decide.

    It may if the network is at rest, and no neurons left it at this epoch's end: what it shows then is the wound, and
    an epoch later it may be better than before.

    Args:
        at_rest: Whether its growth policy is at rest.
        epoch: Epochs done.
        events: Growth events of the epoch, as dicts.
    """
    return at_rest and not any(event["removed"] and event["epoch"] == epoch for event in events)


def last_judged_epoch(epochs: int, num_seeds: int) -> int:
    """Returns the last epoch of the first seed at which a trial may be stopped.

    Args:
        epochs: Of the training on one seed.
        num_seeds: On which the trial is trained, one after the other.
    """
    return min(int(_JUDGED_SHARE * epochs * num_seeds), epochs - 1)


def rung_levels(reference: float, first_share: float, reduction: int, highest: float) -> tuple[float, ...]:
    """Returns the costs of the rungs: first_share * reference * reduction ** k, as far as a trial can come.

    Args:
        reference: Multiply-adds of a typical whole training: the geometric mean of the cost of a static training at the
            low and at the high corner of the space. It belongs to the study, so all trials share the rungs.
        first_share: The first rung's share of it.
        reduction: Factor from one rung to the next, at least 2.
        highest: Multiply-adds of the most expensive training there can be. No rung is at or above it.
    """
    assert min(reference, first_share) > 0
    assert reduction >= 2
    levels = []
    level = first_share * reference
    while level < highest:
        levels.append(level)
        level = first_share * reference * reduction ** len(levels)
    return tuple(levels)


def rungs_crossed(reports: Sequence[Report], levels: Sequence[float]) -> dict[int, int]:
    """Returns at which epochs a trial stands on a new rung: epoch to the rung that its report counts for.

    A report counts for a rung if it is the first one at rest since the rung's level was spent, and before the next
    level was. One that has skipped a rung counts for the higher one alone: at the lower one it would stand beside
    networks that have spent less. These are the epochs at which a worker waits for a word. Plain numbers, one pass.
    """
    crossed: dict[int, int] = {}
    newest = -1
    for report in reports:
        rung = newest
        while report.at_rest and rung + 1 < len(levels) and report.cost >= levels[rung + 1]:
            rung += 1
        if rung > newest:
            crossed[report.epoch] = newest = rung
    return crossed


def report_at(curve: Curve, levels: Sequence[float], rung: int) -> Report | None:
    """Returns the report of a trial that counts at a rung; None without one.

    A finished trial that has spent less than the rung's level counts with its final report: it will not spend more.
    """
    for report in curve.reports:
        if report.at_rest and report.cost >= levels[rung]:
            skipped = rung + 1 < len(levels) and report.cost >= levels[rung + 1]
            return None if skipped else report
    cheap = curve.finished and curve.reports and curve.reports[-1].cost < levels[rung]
    return curve.reports[-1] if cheap else None


def verdict(rule: Halving, curve: Curve, peers: Sequence[Curve]) -> Verdict:
    """Decides whether a trial goes on, by its report at the newest rung that it has reached.

    It goes on if it has finished; if it has not been at rest at or above the first rung; if fewer than `reduction`
    reports count at its rung, its own among them; or if fewer than (their number // reduction) are better than its own.
    Equal ones do not push each other out. Better means: a smaller violation; then the better value, or of several
    objectives the lower non-dominated rank and, in the same rank, the larger margin over its rivals (`front.margins`).

    A report that gets better never turns "go on" into "stop", for one objective as for several.

    Args:
        rule: The rule of the study.
        curve: The trial.
        peers: Other trials of any state; their order, and the trial's own number among them, do not matter.
    """
    crossed = rungs_crossed(curve.reports, rule.levels)
    if curve.finished or not crossed:
        return Verdict(stop=False, rung=None, reason="goes on: it has finished" if curve.finished else _NO_RUNG)
    rung = max(crossed.values())
    own = report_at(curve, rule.levels, rung)
    assert own is not None
    counted = (report_at(peer, rule.levels, rung) for peer in peers if peer.number != curve.number)
    others = [report for report in counted if report is not None]
    num_reports = len(others) + 1
    where = f"rung {rung} ({_power(own.cost)} multiply-adds, epoch {own.epoch})"
    if num_reports < rule.reduction:
        few = "one report counts" if num_reports == 1 else f"{num_reports} reports count"
        return Verdict(stop=False, rung=rung, reason=f"goes on at {where}: only {few} there")
    kept = num_reports // rule.reduction
    stop = _num_better(own, others, rule.directions) >= kept
    place = f"{'not ' if stop else ''}among the best {kept} of {num_reports}"
    reason = f"{'stopped' if stop else 'goes on'} at {where}: {_shown(own, rule)} is {place}"
    return Verdict(stop=stop, rung=rung, reason=reason)


_NO_RUNG = "goes on: it has not been at rest at a rung yet"


def _num_better(own: Report, others: Sequence[Report], directions: Sequence[Direction]) -> int:
    """Returns how many of the others are ahead."""
    excess = max(own.violation, 0.0)
    within = sum(max(other.violation, 0.0) < excess for other in others)
    rivals = [other.values for other in others if max(other.violation, 0.0) == excess]
    losses = as_losses([own.values, *rivals], directions)
    if len(directions) == 1:
        return within + int((losses < losses[0]).sum())
    ranks = non_dominated_ranks(losses, [0.0] * len(losses))
    tied = losses[ranks == ranks[0]]  # the own report stays the first
    ahead = within + int((ranks < ranks[0]).sum())
    if len(tied) == 1:
        return ahead
    lonely = margins(tied, _spreads(losses[1:]))
    return ahead + int((lonely > lonely[0]).sum())


def _spreads(losses: Floats) -> Floats:
    """Returns the range of each objective over the others, 1 where they agree.

    The own report is left out: it would change its own yardstick, and could lose by getting better.
    """
    ranges = losses.max(axis=0) - losses.min(axis=0)
    spreads: Floats = np.where(ranges > 0, ranges, 1.0)
    return spreads


def _shown(own: Report, rule: Halving) -> str:
    values = ", ".join(f"{metric} {value:.4g}" for metric, value in zip(rule.metrics, own.values, strict=True))
    return f"{values}, {100 * own.violation:.3g} % above its limits," if own.violation > 0 else values


def _power(cost: float) -> str:
    """Writes a cost as 3.1e9."""
    digits, exponent = f"{cost:.1e}".split("e")
    return f"{digits}e{int(exponent)}"
