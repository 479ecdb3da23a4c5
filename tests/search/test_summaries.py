from dataclasses import replace

import pytest

from neurosearch.config.search import Objective
from neurosearch.config.study import SizeLimit
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import best_of, counts, judge

ACCURACY = Objective(metric="balanced_accuracy", direction="maximize")
LOSS = Objective(metric="validation_loss", direction="minimize")
TRIAL = TrialSummary(0, "search", "static", "finished", 0.5, {}, {}, {"parameters": 10.0}, 3, 1.0, None, None, 0.0, 1.0)


def trials(*values, **fields):
    return [replace(TRIAL, number=number, value=value, **fields) for number, value in enumerate(values)]


def test_the_best_value_wins_in_the_objective_s_direction():
    assert best_of(trials(0.5, 0.9, 0.7), ACCURACY).number == 1
    assert best_of(trials(0.5, 0.9, 0.2), LOSS).number == 2


def test_of_equal_values_the_smaller_network_wins_and_then_the_earlier_trial():
    same = trials(0.9, 0.9, 0.9)
    assert best_of(same, ACCURACY).number == 0
    same[2] = replace(same[2], metrics={"parameters": 9.0})
    assert best_of(same, ACCURACY).number == 2


@pytest.mark.parametrize("state", ["running", "infeasible", "failed"])
def test_only_finished_trials_are_best(state):
    assert best_of([*trials(0.9, state=state)], ACCURACY) is None


def test_counts_name_every_state():
    assert counts(trials(0.1, 0.2)) == {"running": 0, "finished": 2, "infeasible": 0, "failed": 0}


def test_a_network_at_the_limit_is_feasible_and_one_above_is_not(make_outcome):
    limit = SizeLimit(parameters=100)
    assert judge(make_outcome(parameters=100), ACCURACY, limit).feasible
    above = judge(make_outcome(parameters=150), ACCURACY, limit)
    assert (above.feasible, above.violation) == (False, 0.5)
    assert judge(make_outcome(parameters=10**9), ACCURACY, None).feasible


def test_a_failed_trial_has_no_value():
    verdict = judge(TrialOutcome.failed("broke"), ACCURACY, None)
    assert (verdict.value, verdict.feasible, verdict.outcome.reason) == (None, False, "broke")
