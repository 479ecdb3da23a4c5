from collections.abc import Callable
from typing import Any

import pytest

from neurosearch.search.seams import TrialSummary
from neurosearch.search.words import duration, failures, hyperparameters, size, trial_facts, trial_line

METRICS = {"balanced_accuracy": 0.912345, "parameters": 5432.0, "neurons": 48.0, "multiply_adds": 5000.0}


def trial(**changed: Any) -> TrialSummary:
    values: dict[str, Any] = {
        "number": 7,
        "role": "search",
        "kind": "periodic",
        "state": "finished",
        "values": (0.912345,),
        "per_seed": (METRICS,),
        "seeds": (3,),
        "params": {"training.learning_rate": 0.0123456, "training.loss": "cross_entropy"},
        "config": {"growth": {"kind": "periodic"}},
        "metrics": METRICS,
        "epochs": 30,
        "seconds": 3.21,
        "reason": None,
        "run_id": "abc",
        "started": 0.0,
        "ended": 3.21,
    }
    return TrialSummary(**{**values, **changed})


LINES: list[tuple[dict[str, Any], Callable[[], TrialSummary | None], str]] = [
    (
        {},
        lambda: trial(number=3, values=(0.95,)),
        "trial   7  periodic  balanced_accuracy 0.9123  5,432 parameters, 48 neurons  3.2 s  best 0.9500 (3)",
    ),
    ({}, trial, "trial   7  periodic  balanced_accuracy 0.9123  5,432 parameters, 48 neurons  3.2 s  the best so far"),
    (
        {"state": "infeasible", "kind": "static"},
        lambda: None,
        "trial   7  static    balanced_accuracy 0.9123, beyond a bound  5,432 parameters, 48 neurons  3.2 s  no",
    ),
    (
        {"state": "failed", "values": (), "metrics": {}, "reason": "the loss is not finite"},
        trial,
        "trial   7  periodic  failed: the loss is not finite  3.2 s  the best so far",
    ),
    (
        {"role": "control", "kind": "static"},
        trial,
        "trial   7  static    balanced_accuracy 0.9123  5,432 parameters, 48 neurons  3.2 s  the control, 1 seed",
    ),
    (
        {"role": "finalist", "seeds": (1, 2, 3)},
        trial,
        "trial   7  periodic  balanced_accuracy 0.9123  5,432 parameters, 48 neurons  3.2 s  a finalist, 3 seeds",
    ),
    (
        {"state": "stopped", "values": (), "reason": "stopped at rung 1"},
        trial,
        "trial   7  periodic  stopped at rung 1  5,432 parameters, 48 neurons  3.2 s  the best so far",
    ),
]


@pytest.mark.parametrize(("changed", "best", "line"), LINES)
def test_an_ended_trial_is_one_line(
    changed: dict[str, Any], best: Callable[[], TrialSummary | None], line: str
) -> None:
    assert trial_line(trial(**changed), "balanced_accuracy", best()).startswith(line)


def test_the_size_of_a_network_in_words() -> None:
    assert size(METRICS) == "5,432 parameters, 48 neurons"


def test_a_latency_is_told_in_milliseconds() -> None:
    fast, faster = trial(values=(0.0000412,)), trial(number=3, values=(0.0000401,))
    line = trial_line(fast, "latency_seconds", faster)
    assert "latency_seconds 0.0412 ms " in line
    assert line.endswith("best 0.0401 ms (3)")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (7325, "2 h 2 min 5 s")],
)
def test_a_time_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_searched_values_in_words() -> None:
    assert hyperparameters(trial()) == "training.learning_rate 0.01235, training.loss cross_entropy"
    assert hyperparameters(trial(params={})) == "nothing of its own was searched"


def test_the_last_failures_are_told() -> None:
    trials = [trial(number=n, state="failed", reason=f"r{n}") for n in range(5)] + [trial()]
    assert list(failures(trials)) == ["trial 2 failed: r2", "trial 3 failed: r3", "trial 4 failed: r4"]


def test_facts_of_a_trial_leave_out_its_whole_config() -> None:
    facts = trial_facts(trial())
    assert facts["metrics"] == METRICS
    assert "config" not in facts
