import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.config.search import SearchFields
from neurosearch.search.keeping import Keeper, kept_trials
from neurosearch.search.seams import TrialSummary

ONE = SearchFields(kept_trials=2)
TWO = SearchFields.model_validate(
    {
        "kept_trials": 1,
        "objectives": [
            {"metric": "accuracy", "direction": "maximize"},
            {"metric": "parameters", "direction": "minimize"},
        ],
    }
)


def trial(number, *values, state="finished", role="search"):
    return TrialSummary(
        number,
        role,
        "static",
        state,
        values,
        (),
        (0,),
        {},
        {},
        {},
        1,
        1.0,
        None,
        None,
        0.0,
        None if not values else 1.0,
    )


def write(folder, number):
    """A trial's files as two seeds leave them, one of them half written."""
    for index in range(2):
        training = folder.training(number, index)
        training.mkdir(parents=True)
        for name in ("checkpoint-000001.pt", "checkpoint-000002.pt", "checkpoint-000003.pt.tmp", "final.pt"):
            (training / name).write_text("x")
    folder.result(number).write_text("{}")


def left(folder, number):
    return sorted({path.name for path in folder.trial(number).rglob("*") if path.is_file()})


def test_the_best_stay_by_objective():
    trials = [trial(0, 0.5), trial(1, 0.9), trial(2, 0.7), trial(3, 0.1)]
    assert kept_trials(trials, ONE) == {1, 2}


def test_finalists_and_control_stay_whatever_they_scored():
    trials = [
        trial(0, 0.5),
        trial(1, 0.9),
        trial(2, 0.7),
        trial(3, 0.1, role="finalist"),
        trial(4, 0.2, role="control"),
    ]
    assert kept_trials(trials, ONE) == {1, 2, 3, 4}


@pytest.mark.parametrize("state", ["running", "infeasible", "stopped", "failed"])
def test_what_did_not_finish_within_the_limits_is_not_among_the_best(state):
    assert kept_trials([trial(0, 0.5), trial(1, 0.9, state=state)], ONE) == {0}


def test_the_whole_front_stays():
    trials = [trial(0, 0.9, 100.0), trial(1, 0.5, 10.0), trial(2, 0.5, 20.0), trial(3, 0.1, 1.0)]
    assert kept_trials(trials, TWO) == {0, 1, 3}


def test_ended_trials_lose_their_checkpoints_and_all_but_the_best_their_networks(folder):
    for number in range(4):
        write(folder, number)
    keeper = Keeper(folder, ONE)
    for number, value in enumerate((0.5, 0.9, 0.7)):
        keeper.ended([trial(number, value)])
    assert left(folder, 0) == ["result.json"]
    assert left(folder, 1) == left(folder, 2) == ["final.pt", "result.json"]


def test_running_trials_and_those_nobody_told_of_are_left_alone(folder):
    for number in range(3):
        write(folder, number)
    before = left(folder, 1)
    Keeper(folder, ONE).ended([trial(0, 0.5), trial(1, state="running")])
    assert left(folder, 1) == left(folder, 2) == before


def test_a_folder_that_is_gone_is_no_trouble(folder):
    Keeper(folder, ONE).ended([trial(number, 0.1 * number) for number in range(5)])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8), st.integers(1, 3), st.booleans())
def test_told_in_any_order_or_all_at_once_after_a_crash_the_same_stays(values, kept, several):
    search = SearchFields.model_validate({**(TWO if several else ONE).model_dump(), "kept_trials": kept})
    trials = [trial(number, float(a), float(b)) for number, (a, b) in enumerate(values)]
    one_by_one = []
    for each in random.Random(0).sample(trials, len(trials)):
        chosen = kept_trials([*one_by_one, each], search)
        one_by_one = [kept for kept in (*one_by_one, each) if kept.number in chosen]
    assert {each.number for each in one_by_one} == kept_trials(trials, search)
