from typing import Any

import pytest

from neurosearch.cli.time_left import seconds_left
from neurosearch.config.search import SearchFields
from neurosearch.search.seams import TrialSummary

CONFIG = {"growth": {"kind": "static"}, "training": {"epochs": 10}}


def trial(number: int, **changed: Any) -> TrialSummary:
    values: dict[str, Any] = {
        "number": number,
        "role": "search",
        "kind": "static",
        "state": "finished",
        "values": (0.5,),
        "per_seed": (),
        "seeds": (0,),
        "params": {},
        "config": CONFIG,
        "metrics": {},
        "epochs": 10,
        "seconds": 20.0,
        "reason": None,
        "run_id": None,
        "started": 0.0,
        "ended": 20.0,
    }
    return TrialSummary(**{**values, **changed})


def running(number: int, epochs: int, **changed: Any) -> TrialSummary:
    return trial(number, state="running", epochs=epochs, seconds=None, ended=None, **changed)


def search(**fields: Any) -> SearchFields:
    return SearchFields.model_validate({"trials": 5, "finalists": 0, "control": False, **fields})


def test_nothing_is_known_before_an_epoch_is_timed() -> None:
    assert seconds_left((), search(), 0.0, 100.0) is None
    assert seconds_left([running(0, 0)], search(), 0.0, 100.0) is None
    failed = trial(0, state="failed", seconds=1.0)
    assert seconds_left([failed], search(), 0.0, 100.0) is None, "a failure says nothing about how long others take"


@pytest.mark.parametrize(
    ("trials", "fields", "seconds"),
    [
        ([trial(0), trial(1, seconds=40.0)], {}, 3 * 30.0),
        ([trial(0), trial(1, seconds=40.0)], {"concurrency": 2}, 45.0),
        ([trial(0), running(1, 5)], {"trials": 2}, 10.0),
        ([trial(0), running(1, 5)], {}, 10.0 + 3 * 20.0),
        ([running(0, 5)], {"trials": 1}, 100.0),  # 100 s for 5 of 10 epochs
        ([trial(0)], {"trials": 1, "control": True}, 20.0),
        ([trial(0)], {"trials": 1, "control": True, "finalists": 2, "fresh_seeds": 3}, 3 * 3 * 20.0),
        ([trial(0, kind="nimble")], {"trials": 1, "control": True, "finalists": 2, "fresh_seeds": 3}, 4 * 3 * 20.0),
        (
            [trial(0, kind="periodic"), trial(1, role="fixed", seeds=(1, 2, 3), seconds=60.0)],
            {"trials": 1, "control": True, "finalists": 1, "fresh_seeds": 3, "arms": ["fixed", "equal_compute"]},
            3 * 3 * 20.0,
        ),
        ([trial(0), trial(1, role="control")], {"trials": 1, "control": True}, 0.0),
        (  # one of before, when fresh_seeds was 2
            [trial(0), trial(1, role="control", seeds=(1, 2), seconds=40.0)],
            {"trials": 1, "control": True, "finalists": 1, "fresh_seeds": 3},
            2 * 3 * 20.0,
        ),
        ([trial(0, seeds=(0, 1))], {"trials": 2, "seeds": 2}, 20.0),
        ([trial(0), trial(1), running(2, 0)], {"concurrency": 8, "trials": 3}, 20.0),  # no less than one trial
    ],
)
def test_what_remains_is_measured_by_what_was(trials: list[TrialSummary], fields: Any, seconds: float) -> None:
    assert seconds_left(trials, search(**fields), 0.0, 100.0) == pytest.approx(seconds)


def test_a_budget_of_time_cuts_off_trials_to_come_but_not_those_that_run_nor_the_control() -> None:
    fields = search(trials=100, time_budget_seconds=60.0)
    assert seconds_left([trial(0)], fields, 20.0, 20.0) == pytest.approx(40.0)
    assert seconds_left([trial(0), running(1, 5)], fields, 20.0, 20.0) == pytest.approx(50.0)
    with_control = search(trials=100, time_budget_seconds=60.0, control=True)
    assert seconds_left([trial(0)], with_control, 70.0, 70.0) == pytest.approx(20.0)
