import pytest

from neurosearch.search.early_stopping import Report
from neurosearch.search.reached import Moment, reached
from neurosearch.search.reports import StoredReport
from neurosearch.search.seams import TrialSummary

OBJECTIVES = [
    {"metric": "balanced_accuracy", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
]


def trial(number, values, ended, state="finished", role="search"):
    return TrialSummary(
        number=number,
        role=role,
        kind="static",
        state=state,
        values=values,
        per_seed=(),
        seeds=(3,),
        params={},
        config={},
        metrics={},
        epochs=4,
        seconds=1.0,
        reason=None,
        run_id=None,
        started=100.0 + number,
        ended=ended,
    )


TRIALS = [
    trial(0, (0.5, 50.0), 107.0),
    trial(1, (0.9, 80.0), 105.0),
    trial(2, (0.95, 120.0), 106.0, state="infeasible"),
    trial(3, (0.4, 60.0), 108.0),
    trial(4, (), None, state="running"),
]


@pytest.fixture(scope="module")
def study(make_config):
    return make_config(**{"search.objectives": OBJECTIVES}).study


def test_the_front_grows_in_the_order_of_ends(study):
    found = reached(TRIALS, study, {})
    assert [each.trial for each in found.front] == [1, 0]
    assert found.box.worst == (0.0, 100.0)
    assert found.history == (
        Moment(1, 5.0, pytest.approx(0.18)),
        Moment(0, 7.0, pytest.approx(0.18 + 0.15)),
        Moment(3, 8.0, pytest.approx(0.18 + 0.15)),
    )
    assert found.hypervolume == found.history[-1].hypervolume


def test_epochs_at_rest_may_be_on_the_front(study):
    report = Report(2, 10.0, (0.6, 20.0), 0.0, at_rest=True)
    found = reached(TRIALS, study, {3: [StoredReport(0, "checkpoint-000002.pt", (), report, None)]})
    assert [(each.trial, each.epoch) for each in found.front] == [(1, None), (3, 2)]
    assert [moment.trial for moment in found.history] == [1, 0, 3]
    assert found.hypervolume == pytest.approx(0.18 + 0.6 * 0.6)


@pytest.mark.parametrize("role", ["recycle", "wide_then_prune", "fixed"])
def test_an_arm_neither_stands_on_the_front_nor_takes_others_from_it(study, role):
    arm = trial(5, (0.99, 40.0), 109.0, role=role)
    assert reached([*TRIALS, arm], study, {}) == reached(TRIALS, study, {})


@pytest.mark.parametrize("role", ["finalist", "control"])
def test_finalists_and_control_stand_on_the_front(study, role):
    beside = trial(5, (0.99, 40.0), 109.0, role=role)
    assert [each.trial for each in reached([*TRIALS, beside], study, {}).front] == [5]


def test_a_study_without_a_feasible_trial_has_reached_nothing(study):
    for trials in ([], TRIALS[2:3], TRIALS[4:]):
        found = reached(trials, study, {})
        assert (found.front, found.history, found.hypervolume) == ((), (), 0.0)


def test_facts_are_plain(study):
    facts = reached(TRIALS, study, {}).facts()
    assert facts["front"] == [
        {"trial": 1, "epoch": None, "values": [0.9, 80.0]},
        {"trial": 0, "epoch": None, "values": [0.5, 50.0]},
    ]
    assert facts["reference"] == [0.0, 100.0]
    assert facts["ideal"] == [1.0, 0.0]
    assert facts["history"][0] == [1, 5.0, pytest.approx(0.18)]
