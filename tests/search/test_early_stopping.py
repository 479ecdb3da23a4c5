from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.search.early_stopping import (
    Curve,
    Halving,
    Report,
    Verdict,
    last_judged_epoch,
    may_be_judged,
    report_at,
    rung_levels,
    rungs_crossed,
    verdict,
)

LEVELS = (10.0, 30.0, 90.0)
ACCURACY = Halving(3, LEVELS, ("balanced_accuracy",), ("maximize",))
BOTH = Halving(3, LEVELS, ("balanced_accuracy", "parameters"), ("maximize", "minimize"))


def report(epoch, cost, *values, violation=0.0, at_rest=True):
    return Report(epoch, cost, values or (0.5,), violation, at_rest)


def curve(number, *reports, finished=False):
    return Curve(number, reports, finished)


def peers(*values, cost=10.0):
    """Return one running trial for each value, all with one report."""
    return [curve(number, report(1, cost, *each)) for number, each in enumerate(values, start=100)]


def test_levels_rise_by_the_reduction_as_far_as_a_trial_can_come():
    assert rung_levels(100.0, 0.1, 3, 270.0) == pytest.approx((10, 30, 90))
    assert rung_levels(100.0, 0.1, 3, 271.0) == pytest.approx((10, 30, 90, 270))
    assert rung_levels(100.0, 0.5, 2, 50.0) == ()


def test_a_report_counts_for_the_first_rung_passed_at_rest():
    reports = [
        report(1, 4),
        report(2, 12, at_rest=False),
        report(3, 16),
        report(4, 29),
        report(5, 95),
        report(6, 200),
    ]
    assert rungs_crossed(reports, LEVELS) == {3: 0, 5: 2}
    assert rungs_crossed(reports[:2], LEVELS) == {}
    assert rungs_crossed([], LEVELS) == {}
    counting = [report_at(curve(0, *reports), LEVELS, rung) for rung in range(3)]
    assert counting == [reports[2], None, reports[4]]


def test_a_network_that_was_just_pruned_is_not_judged_until_it_has_trained():
    grown = {"epoch": 5, "added": 4, "removed": 0}
    pruned_inside, pruned = {"epoch": 4, "added": 0, "removed": 4}, {"epoch": 5, "added": 0, "removed": 4}
    assert may_be_judged(True, 5, [])
    assert may_be_judged(True, 5, [grown, pruned_inside])
    assert not may_be_judged(True, 5, [grown, pruned])
    assert may_be_judged(True, 6, [pruned])
    assert not may_be_judged(False, 5, [])


def test_a_trial_is_stopped_in_its_first_two_thirds_and_before_its_last_epoch():
    assert [last_judged_epoch(epochs, 1) for epochs in (1, 2, 3, 20)] == [0, 1, 2, 13]
    assert [last_judged_epoch(20, seeds) for seeds in (2, 5)] == [19, 19]


def test_a_finished_trial_counts_where_it_has_not_come_with_what_it_ended_at():
    reports = (report(1, 12, 0.4), report(2, 14, 0.6))
    finished = curve(0, *reports, finished=True)
    assert [report_at(finished, LEVELS, rung) for rung in range(3)] == [reports[0], reports[1], reports[1]]
    assert [report_at(curve(0, *reports), LEVELS, rung) for rung in range(3)] == [reports[0], None, None]
    assert report_at(curve(0, finished=True), LEVELS, 0) is None


def test_a_trial_at_rest_late_is_not_set_beside_those_that_have_spent_less():
    late = [curve(n, report(1, 10, 0.2, at_rest=False), report(2, 31, 0.9)) for n in range(2, 9)]
    assert verdict(ACCURACY, curve(1, report(1, 10, 0.5)), late).reason.endswith("only one report counts there")


def test_no_trial_is_stopped_among_fewer_than_the_reduction():
    own = curve(1, report(3, 12, 0.1))
    assert not verdict(ACCURACY, own, peers((0.9,))).stop
    assert verdict(ACCURACY, own, peers((0.9,), (0.8,))).stop
    assert (
        verdict(ACCURACY, own, []).reason
        == "goes on at rung 0 (1.2e1 multiply-adds, epoch 3): only one report counts there"
    )


def test_the_best_third_goes_on():
    others = peers(*[(value / 100,) for value in range(1, 13)])
    verdicts = [verdict(ACCURACY, curve(1, report(1, 10, value)), others) for value in (0.085, 0.095)]
    assert [each.stop for each in verdicts] == [True, False]


def test_equal_values_do_not_push_each_other_out():
    assert not verdict(ACCURACY, curve(1, report(1, 10, 0.1)), peers(*[(0.1,)] * 8)).stop


def test_a_decision_is_told_in_words():
    own = curve(1, *(report(epoch, 4e7 * epoch, 0.61) for epoch in range(1, 13)))
    rule = replace(ACCURACY, levels=(1e8, 4.7e8))
    others = peers(*[(value,) for value in (0.5, 0.7, 0.8, 0.9, 0.9)], cost=5e8)
    assert verdict(rule, own, others) == Verdict(
        stop=True,
        rung=1,
        reason="stopped at rung 1 (4.8e8 multiply-adds, epoch 12): balanced_accuracy 0.61 is not among the best 2 of 6",
    )
    assert verdict(rule, own, others[:3]).reason.startswith("stopped at rung 1")
    better = curve(1, report(1, 5e8, 0.95))
    assert verdict(rule, better, others).reason.endswith("balanced_accuracy 0.95 is among the best 2 of 6")
    heavy = curve(1, report(1, 5e8, 0.95, violation=0.125))
    assert "balanced_accuracy 0.95, 12.5 % above its limits, is not among" in verdict(rule, heavy, others).reason


def test_a_finished_trial_is_never_stopped():
    own = curve(1, report(1, 12, 0.0), finished=True)
    assert verdict(ACCURACY, own, peers((0.9,), (0.9,), (0.9,))) == Verdict(False, None, "goes on: it has finished")


def test_a_trial_that_was_never_at_rest_is_never_stopped():
    own = curve(1, report(1, 12, 0.0, at_rest=False), report(2, 95, 0.0, at_rest=False))
    assert verdict(ACCURACY, own, peers((0.9,), (0.9,), (0.9,))).stop is False


def test_only_the_newest_rung_decides():
    own = curve(1, report(1, 10, 0.1), report(2, 30, 0.9))
    others = [curve(n, report(1, 10, 0.8), report(2, 30, 0.8)) for n in range(2, 6)]
    assert verdict(ACCURACY, curve(1, own.reports[0]), others).stop
    assert not verdict(ACCURACY, own, others).stop


def test_a_network_above_its_limits_stands_behind_all_that_are_within():
    others = peers((0.1,), (0.2,), (0.3,))
    assert verdict(ACCURACY, curve(1, report(1, 10, 0.99, violation=0.01)), others).stop
    assert not verdict(ACCURACY, curve(1, report(1, 10, 0.99, violation=-0.5)), others).stop


def test_among_networks_above_their_limits_the_least_excess_goes_on():
    others = [curve(n, report(1, 10, 0.9, violation=0.5 + n / 10)) for n in range(2, 6)]
    assert not verdict(ACCURACY, curve(1, report(1, 10, 0.1, violation=0.3)), others).stop
    assert verdict(ACCURACY, curve(1, report(1, 10, 0.99, violation=2.0)), others).stop


def test_what_another_dominates_stops_before_the_front_does():
    front = [(0.9, 900.0), (0.7, 500.0), (0.5, 100.0)]
    others = peers(*front, (0.3, 950.0), (0.2, 990.0), (0.1, 999.0), (0.4, 999.0), (0.4, 998.0))
    for number, values in enumerate(front):
        rest = others[:number] + others[number + 1 :]
        assert not verdict(BOTH, curve(1, report(1, 10, *values)), [*rest, others[-1]]).stop
    assert verdict(BOTH, curve(1, report(1, 10, 0.6, 600.0)), others).stop


def test_on_a_front_too_large_to_keep_the_crowded_stop():
    front = peers((0.9, 900.0), (0.7, 500.0), (0.71, 510.0), (0.5, 100.0), (0.3, 50.0))
    assert verdict(BOTH, curve(1, report(1, 10, 0.705, 505.0)), front).stop
    assert not verdict(BOTH, curve(1, report(1, 10, 0.95, 950.0)), front).stop


numbers = st.integers(0, 6).map(float)
excesses = st.sampled_from([-1.0, 0.0, 0.0, 0.5, 1.0])


@st.composite
def curves(draw, objectives, number, length=4):
    steps = draw(st.lists(st.sampled_from([3.0, 10.0, 40.0]), min_size=1, max_size=length))
    reports = tuple(
        Report(epoch, sum(steps[:epoch]), draw(st.tuples(*[numbers] * objectives)), draw(excesses), draw(st.booleans()))
        for epoch in range(1, len(steps) + 1)
    )
    return Curve(number, reports, draw(st.booleans()))


@st.composite
def situations(draw):
    directions = draw(st.sampled_from([("maximize",), ("minimize",), ("maximize", "minimize"), ("minimize",) * 3]))
    rule = Halving(draw(st.integers(2, 4)), LEVELS, tuple(f"m{i}" for i in range(len(directions))), directions)
    others = [draw(curves(len(directions), number)) for number in range(1, draw(st.integers(1, 12)))]
    return rule, draw(curves(len(directions), 0)), others


@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_the_others_does_not_matter_nor_whether_the_own_is_among_them(situation, random):
    rule, own, others = situation
    shuffled = random.sample([*others, own], len(others) + 1)
    assert verdict(rule, own, others) == verdict(rule, own, shuffled)


@given(situations(), st.data())
def test_getting_better_never_ends_a_trial_that_would_go_on(situation, data):
    rule, own, others = situation
    steps = data.draw(st.tuples(*[st.integers(0, 3)] * len(rule.directions)))
    signs = [1 if direction == "maximize" else -1 for direction in rule.directions]
    relief = data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    better = [
        replace(
            each,
            values=tuple(value + sign * step for value, sign, step in zip(each.values, signs, steps, strict=True)),
            violation=each.violation - relief,
        )
        for each in own.reports
    ]
    if verdict(rule, replace(own, reports=tuple(better)), others).stop:
        assert verdict(rule, own, others).stop


@given(situations())
def test_finished_and_restless_trials_go_on(situation):
    rule, own, others = situation
    assert not verdict(rule, replace(own, finished=True), others).stop
    restless = tuple(replace(each, at_rest=False) for each in own.reports)
    assert not verdict(rule, replace(own, reports=restless), others).stop


@given(situations())
def test_epochs_between_rungs_change_nothing(situation):
    """A worker asks at the epochs of `rungs_crossed` alone: the answer there is the one for the whole curve so far."""
    rule, own, others = situation
    own = replace(own, finished=False)
    crossed = rungs_crossed(own.reports, rule.levels)
    if crossed:
        until = tuple(each for each in own.reports if each.epoch <= max(crossed))
        assert verdict(rule, replace(own, reports=until), others) == verdict(rule, own, others)


@given(situations())
def test_some_trial_at_every_rung_goes_on(situation):
    rule, own, others = situation
    running = [replace(each, finished=False) for each in [own, *others]]
    for rung in range(len(rule.levels)):
        here = [each for each in running if report_at(each, rule.levels, rung)]
        top = [each for each in here if max(rungs_crossed(each.reports, rule.levels).values()) == rung]
        if here == top and here:
            assert not all(verdict(rule, each, running).stop for each in here)
