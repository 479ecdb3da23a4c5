from dataclasses import replace

import pytest

from neurosearch.config.search import Objective
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import best_of, counts, judge

ACCURACY = Objective(metric="balanced_accuracy", direction="maximize")
LOSS = Objective(metric="validation_loss", direction="minimize")
TRIAL = TrialSummary(
    number=0,
    role="search",
    kind="static",
    state="finished",
    values=(0.5,),
    per_seed=(),
    seeds=(3,),
    params={},
    config={},
    metrics={"parameters": 10.0},
    epochs=3,
    seconds=1.0,
    reason=None,
    run_id=None,
    started=0.0,
    ended=1.0,
)


def trials(*values, **fields):
    return [replace(TRIAL, number=number, values=(value,), **fields) for number, value in enumerate(values)]


def test_the_best_value_wins_in_the_objective_s_direction():
    assert best_of(trials(0.5, 0.9, 0.7), ACCURACY).number == 1
    assert best_of(trials(0.5, 0.9, 0.2), LOSS).number == 2


def test_of_equal_values_the_smaller_network_wins_and_then_the_earlier_trial():
    same = trials(0.9, 0.9, 0.9)
    assert best_of(same, ACCURACY).number == 0
    same[2] = replace(same[2], metrics={"parameters": 9.0})
    assert best_of(same, ACCURACY).number == 2


@pytest.mark.parametrize("state", ["running", "infeasible", "stopped", "failed"])
def test_only_finished_trials_are_best(state):
    assert best_of([*trials(0.9, state=state)], ACCURACY) is None


def test_counts_name_every_state():
    assert counts(trials(0.1, 0.2)) == {"running": 0, "finished": 2, "infeasible": 0, "stopped": 0, "failed": 0}


def test_a_network_at_the_limit_is_feasible_and_one_above_is_not(make_outcome, make_config):
    study = make_config().study
    assert judge(make_outcome(parameters=100), study).violation == 0
    assert judge(make_outcome(parameters=150), study).violation == 0.5
    unlimited = make_config(size_limit=None).study
    assert judge(make_outcome(parameters=10**9), unlimited).violation == 0


def test_of_several_seeds_the_largest_network_counts_for_the_limit(make_outcome, make_config):
    one, other = make_outcome(0.4, 90), make_outcome(0.6, 120)
    both = replace(one, metrics={"balanced_accuracy": 0.5, "parameters": 105.0}, per_seed=(one.metrics, other.metrics))
    judgement = judge(both, make_config().study)
    assert judgement.values == (0.5,)
    assert judgement.violation == pytest.approx(0.2)


def test_excesses_over_several_bounds_add_up(make_outcome, make_config):
    bounds = [{"metric": "accuracy", "at_least": 0.8}, {"metric": "neurons", "at_most": 10.0}]
    study = make_config(**{"search.constraints": bounds}).study
    assert judge(make_outcome(0.5, 150, accuracy=0.6, neurons=5.0), study).violation == pytest.approx(0.5 + 0.25)
    assert judge(make_outcome(0.5, 50, accuracy=0.9, neurons=5.0), study).violation == pytest.approx(-0.125)


def test_a_result_without_a_constrained_metric_has_failed(make_outcome, make_config):
    study = make_config(**{"search.constraints": [{"metric": "few_recall", "at_least": 0.1}]}).study
    assert "few_recall" in judge(make_outcome(), study).outcome.reason


def test_a_failed_trial_has_no_value(make_config):
    judgement = judge(TrialOutcome.failed("broke"), make_config().study)
    assert (judgement.values, judgement.outcome.reason) == (None, "broke")
