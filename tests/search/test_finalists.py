from dataclasses import replace

import pytest

from neurosearch.search.finalists import leaders
from neurosearch.search.seams import TrialSummary

BASE = TrialSummary(
    number=0,
    role="search",
    kind="static",
    state="finished",
    values=(),
    per_seed=(),
    seeds=(3,),
    params={},
    config={},
    metrics={},
    epochs=4,
    seconds=1.0,
    reason=None,
    run_id=None,
    started=0.0,
    ended=1.0,
)


def trial(number, *values, kind="static", **changed):
    return replace(BASE, number=number, values=values, kind=kind, **changed)


def numbers(trials, study, count):
    return [each.number for each in leaders(trials, study, count)]


@pytest.fixture(scope="module")
def one(make_config):
    return make_config().study


@pytest.fixture(scope="module")
def several(make_config):
    parameters = {"metric": "parameters", "direction": "minimize"}
    return make_config(
        **{"search.objectives": [{"metric": "balanced_accuracy", "direction": "maximize"}, parameters]}
    ).study


def test_the_best_of_the_search_lead(one):
    trials = [trial(0, 0.5), trial(1, 0.9, kind="nimble"), trial(2, 0.7), trial(3, 0.95, state="infeasible")]
    assert numbers([*trials, trial(4, 0.99, role="control")], one, 2) == [1, 2]
    assert numbers(trials, one, 0) == []
    assert numbers([], one, 2) == []


def test_the_last_fixed_network_makes_place_for_the_best_that_changed(one):
    trials = [trial(0, 0.9), trial(1, 0.8), trial(2, 0.6, kind="nimble"), trial(3, 0.7, kind="periodic")]
    assert numbers(trials, one, 2) == [0, 3]
    assert numbers(trials, one, 1) == [0]
    assert numbers(trials[:2], one, 2) == [0, 1]


def test_with_several_objectives_the_front_leads(several):
    trials = [trial(0, 0.9, 80.0), trial(1, 0.89, 90.0), trial(2, 0.7, 40.0, kind="nimble"), trial(3, 0.8, 60.0)]
    assert numbers(trials, several, 4) == [0, 3, 2]
    assert numbers(trials, several, 2) == [0, 2]
    assert numbers([*trials[:2], trial(4, 0.6, 95.0, kind="nimble")], several, 2) == [0, 4]
