"""Early stopping against simulated learning curves whose best arm is known.

A simulated search runs many arms on a few workers of different speeds. Whoever crosses a rung is judged at that moment
by what the others have reported by then, as in a real search.
"""

import heapq
import math
import random
from dataclasses import dataclass, replace

import pytest

from neurosearch.search.early_stopping import Curve, Halving, Report, rung_levels, rungs_crossed, verdict
from neurosearch.search.hypervolume import Box, hypervolume

LEVELS = rung_levels(reference=100.0, first_share=0.1, reduction=3, highest=300.0)
ACCURACY = Halving(3, LEVELS, ("balanced_accuracy",), ("maximize",))
BOTH = Halving(3, LEVELS, ("balanced_accuracy", "parameters"), ("maximize", "minimize"))
SEEDS = range(40)
NUM_ARMS = 60


@dataclass(frozen=True)
class Arm:
    """A configuration whose whole training is known beforehand; the best one ends best."""

    reports: tuple[Report, ...]

    @property
    def final(self):
        return self.reports[-1].values

    @property
    def cost(self):
        return self.reports[-1].cost


def rising(draw, top, epoch_cost=5.0, budget=100.0, *, slowness=None, size=None):
    """Rise to `top` with the compute spent; a slow one starts below others that it overtakes later."""
    slowness = slowness or draw.uniform(8, 24)
    reports = []
    for epoch in range(1, round(budget / epoch_cost) + 1):
        cost = epoch * epoch_cost
        value = top - (top - 0.1) * math.exp(-cost / slowness) + draw.gauss(0, 0.004)
        reports.append(Report(epoch, cost, (value,) if size is None else (value, size), 0.0, at_rest=True))
    return Arm(tuple(reports))


def falling(draw, top, settled_epoch=6):
    """Shine while the network is large, fall while it shrinks, and be at rest from then on."""
    arm = rising(draw, top, slowness=8)
    bonus = [max(0.0, 1 - report.epoch / settled_epoch) * 0.4 for report in arm.reports]
    return Arm(
        tuple(
            replace(report, values=(report.values[0] + extra,), at_rest=report.epoch >= settled_epoch)
            for report, extra in zip(arm.reports, bonus, strict=True)
        )
    )


@dataclass(frozen=True)
class Searched:
    """What a simulated search came to."""

    finished: frozenset[int]
    spent: float
    curves: tuple[Curve, ...]


def search(rule, arms, seed, num_workers=4):
    """Run the arms in a random order on workers of random speeds, judging each at the rungs that it crosses."""
    draw = random.Random(seed)
    waiting = draw.sample(range(len(arms)), len(arms))
    rungs = [rungs_crossed(arm.reports, rule.levels) for arm in arms]
    curves, spent = {}, 0.0
    speeds = [draw.uniform(0.5, 2.0) for _ in range(num_workers)]
    clock = [(draw.random(), worker, waiting.pop(), 0) for worker in range(num_workers)]
    heapq.heapify(clock)
    while clock:
        now, worker, number, epochs = heapq.heappop(clock)
        reports = arms[number].reports
        if epochs == len(reports) or epochs in rungs[number]:
            curves[number] = Curve(number, reports[:epochs], finished=epochs == len(reports))
            if curves[number].finished or verdict(rule, curves[number], list(curves.values())).stop:
                spent += reports[epochs - 1].cost
                if waiting:
                    heapq.heappush(clock, (now, worker, waiting.pop(), 0))
                continue
        step = reports[epochs].cost - (reports[epochs - 1].cost if epochs else 0.0)
        heapq.heappush(clock, (now + step / speeds[worker], worker, number, epochs + 1))
    finished = frozenset(number for number, curve in curves.items() if curve.finished)
    return Searched(finished, spent, tuple(curves.values()))


def mixed_arms(seed):
    """Return arms that rise, fall and cross; the best one, number 0, is one that rises and crosses others."""
    draw = random.Random(f"arms {seed}")
    best = rising(draw, 0.9, slowness=14)
    return [best, *(draw.choice((rising, falling))(draw, draw.uniform(0.3, 0.87)) for _ in range(NUM_ARMS - 1))]


def best_finished(arms, searched):
    return max(searched.finished, key=lambda number: arms[number].final)


def highest_ever(searched):
    """Return who wins when each trial, stopped or not, counts with the highest value that it ever reported."""
    return max(searched.curves, key=lambda curve: max(report.values for report in curve.reports)).number


def test_the_best_arm_survives_and_most_compute_is_saved():
    """In at least 36 of 40 searches the best arm finishes, and on average more than half of the compute is saved."""
    kept, saved = 0, []
    for seed in SEEDS:
        arms = mixed_arms(seed)
        searched = search(ACCURACY, arms, seed)
        kept += best_finished(arms, searched) == 0
        saved.append(1 - searched.spent / sum(arm.cost for arm in arms))
    assert kept >= 36
    assert sum(saved) / len(saved) > 0.5


def test_a_network_that_has_yet_to_shrink_is_not_taken_at_its_word():
    """By the highest value ever reported a worse arm wins at least 20 of 40 searches, by final values at most 4."""
    fooled = [0, 0]
    for seed in SEEDS:
        arms = mixed_arms(seed)
        searched = search(ACCURACY, arms, seed)
        fooled[0] += highest_ever(searched) != 0
        fooled[1] += best_finished(arms, searched) != 0
    assert fooled[0] >= 20
    assert fooled[1] <= 4


@pytest.mark.parametrize("fair", [True, False], ids=["equal compute", "equal epochs"])
def test_judged_at_equal_epochs_the_best_small_network_would_be_stopped(fair):
    """All arms spend 100 in all; the best is a small network, which has learned little after as many epochs as others.

    At equal compute it finishes in at least 36 of 40 searches, at equal epochs in at most 4.
    """
    kept = 0
    for seed in SEEDS:
        draw = random.Random(f"sizes {seed}")
        arms = [rising(draw, 0.9, epoch_cost=0.5, slowness=15)]
        arms += [rising(draw, draw.uniform(0.5, 0.87), draw.choice((2.0, 5.0)), slowness=15) for _ in range(30)]
        if not fair:  # the rung is an epoch: what an epoch costs is forgotten
            arms = [Arm(tuple(replace(each, cost=float(each.epoch)) for each in arm.reports)) for arm in arms]
        rule = ACCURACY if fair else replace(ACCURACY, levels=(2.0, 6.0, 18.0))
        kept += 0 in search(rule, arms, seed).finished
    assert kept >= 36 if fair else kept <= 4


def front_arms(seed):
    """Return arms on a known front, the first six, and arms behind it; larger networks cost more an epoch."""
    draw = random.Random(f"front {seed}")
    front = [(0.95 - 0.3 / (1 + size / 200), size) for size in (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)]
    behind = []
    for _ in range(NUM_ARMS - len(front)):
        size = draw.choice((100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0))
        behind.append((0.95 - 0.3 / (1 + size / 200) - draw.uniform(0.03, 0.5), size))
    return [rising(draw, top, epoch_cost=size / 400, slowness=15, size=size) for top, size in [*front, *behind]]


def test_several_objectives_keep_the_front_and_save_compute():
    """Half of the compute finds at least 95 % of the hypervolume that a search without stopping finds, on average."""
    box = Box((1.0, 0.0), (0.0, 4000.0))
    shares, saved = [], []
    for seed in SEEDS[:20]:
        arms = front_arms(seed)
        searched = search(BOTH, arms, seed)
        found = hypervolume([arms[number].final for number in searched.finished], box)
        shares.append(found / hypervolume([arm.final for arm in arms], box))
        saved.append(1 - searched.spent / sum(arm.cost for arm in arms))
    assert sum(shares) / len(shares) >= 0.95
    assert sum(saved) / len(saved) >= 0.5
