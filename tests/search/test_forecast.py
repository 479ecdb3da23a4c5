from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.config.search import SearchFields, StoppingFields
from neurosearch.search.forecast import Surroundings, Work, forecast, slowness, stopping_share

NOTHING = Surroundings(0.0, 0.0, 0.0, 0.0, 1.0)
WORK = Work(training_seconds=10.0, control_seconds=10.0, epochs=5.0, num_points=None)
MANY_CORES = 1000


def fields(**values: object) -> SearchFields:
    return SearchFields.model_validate({"trials": 8, "finalists": 0, "control": False, "arms": (), **values})


def test_trials_that_run_one_after_the_other_take_their_sum() -> None:
    found = forecast(fields(), WORK, MANY_CORES, NOTHING)
    assert (found.trials, found.trainings, found.epochs, found.seconds) == (8, 8, 40.0, 80.0)


def test_trials_that_run_at_once_share_the_time_and_not_the_cores() -> None:
    assert forecast(fields(concurrency=4), WORK, MANY_CORES, NOTHING).seconds == 20.0
    assert forecast(fields(concurrency=4), WORK, 2, NOTHING).seconds > 40.0


def test_each_seed_is_a_training() -> None:
    found = forecast(fields(seeds=3), WORK, MANY_CORES, NOTHING)
    assert (found.trainings, found.seconds) == (24, 240.0)


def test_finalists_and_control_train_on_fresh_seeds_beside_each_other() -> None:
    found = forecast(fields(finalists=2, control=True, fresh_seeds=5, concurrency=2), WORK, MANY_CORES, NOTHING)
    assert found.trainings == 8 + 3 * 5
    assert found.confirmation_seconds == 100.0, "two finalists at once, then the control"


def test_arms_train_on_fresh_seeds_too() -> None:
    found = forecast(fields(finalists=2, control=True, fresh_seeds=5, arms=["fixed"]), WORK, MANY_CORES, NOTHING)
    without = forecast(fields(finalists=2, control=True, fresh_seeds=5), WORK, MANY_CORES, NOTHING)
    assert found.trainings == without.trainings + 5
    assert found.confirmation_seconds > without.confirmation_seconds


def test_without_finalists_the_control_trains_on_the_seeds_of_the_search() -> None:
    found = forecast(fields(control=True, seeds=2), replace(WORK, control_seconds=7.0), MANY_CORES, NOTHING)
    assert (found.trainings, found.confirmation_seconds) == (18, 14.0)


def test_no_more_trials_than_configurations() -> None:
    assert forecast(fields(), replace(WORK, num_points=3), MANY_CORES, NOTHING).trials == 3


def test_a_budget_of_time_allows_the_trials_that_start_within_it() -> None:
    found = forecast(fields(time_budget_seconds=25.0, concurrency=2), WORK, MANY_CORES, NOTHING)
    assert (found.trials, found.ended_by) == (6, "search.time_budget_seconds")


def test_a_budget_of_compute_allows_the_trials_that_start_within_it() -> None:
    found = forecast(fields(compute_budget_hours=25.0 / 3600), WORK, MANY_CORES, NOTHING)
    assert (found.trials, found.ended_by) == (3, "search.compute_budget_hours")


def test_a_generous_budget_ends_nothing() -> None:
    assert forecast(fields(time_budget_seconds=1e6), WORK, MANY_CORES, NOTHING).ended_by is None


def test_the_searching_process_can_be_what_all_wait_for() -> None:
    around = replace(NOTHING, driver_seconds=30.0)
    assert forecast(fields(concurrency=8), WORK, MANY_CORES, around).search_seconds == 240.0


def test_a_slower_machine_takes_longer_for_what_is_beside_the_trainings() -> None:
    assert Surroundings.scaled(2.0).start_seconds == 2 * Surroundings.scaled(1.0).start_seconds
    assert slowness() > 0


def test_without_early_stopping_every_trial_is_whole() -> None:
    assert stopping_share(StoppingFields()) == 1.0


def test_with_halving_the_rungs_thin_the_trials_out() -> None:
    share = stopping_share(StoppingFields(kind="halving", reduction=2, first_share=0.25))
    assert share == pytest.approx(0.25 + 0.25 / 2 + 0.5 / 4)


@given(reduction=st.integers(2, 10), first_share=st.floats(0.01, 1.0))
def test_halving_never_takes_more_than_whole_trainings_nor_less_than_the_first_rung(
    reduction: int, first_share: float
) -> None:
    share = stopping_share(StoppingFields(kind="halving", reduction=reduction, first_share=first_share))
    assert first_share <= share + 1e-9
    assert share <= 1.0 + 1e-9
