from typing import Any

from neurosearch.cli.comparison import comparison_lines
from neurosearch.search.answer import Answered
from neurosearch.search.statistics import compare


def facts(number: int, role: str, kind: str, score: float) -> dict[str, Any]:
    return {
        "number": number,
        "role": role,
        "kind": kind,
        "seeds": [3],
        "metrics": {"parameters": 5432.0, "neurons": 48.0, "multiply_adds": 5400.0, "accuracy": score},
        "test": {"test/accuracy": score - 0.01},
        "params": {"training.learning_rate": 0.0123456, "training.loss": "cross_entropy"} if role == "search" else {},
    }


def test_winner_and_control_stand_side_by_side() -> None:
    lines = list(
        comparison_lines(
            [facts(12, "search", "nimble", 0.93), facts(24, "control", "static", 0.92)], ["accuracy"], None
        )
    )
    assert lines == [
        "                               winner  control",
        "trial                              12       24",
        "growth                         nimble   static",
        "parameters                      5,432    5,432",
        "neurons                            48       48",
        "multiply_adds                   5,400    5,400",
        "accuracy                       0.9300   0.9200",
        "test/accuracy                  0.9200   0.9100",
        "training.learning_rate        0.01235",
        "training.loss           cross_entropy",
    ]


def test_a_control_that_wins_is_told_honestly() -> None:
    lines = list(
        comparison_lines([facts(24, "control", "static", 0.94), facts(1, "search", "nimble", 0.9)], ["accuracy"], None)
    )
    assert lines[0].split() == ["winner", "best", "searched"]
    assert lines[-1] == (
        "the winner is the control, the largest static network; what it won by was not tested on fresh seeds."
    )


def test_a_fixed_winner_that_is_its_own_control_is_told_so() -> None:
    lines = list(comparison_lines([facts(24, "control", "static", 0.94)], ["accuracy"], None))
    assert lines[0].split() == ["winner"]
    assert lines[-1] == (
        "the winner is the control itself, the largest static network; nothing else was trained on fresh seeds."
    )


def test_a_winner_without_a_control_stands_alone() -> None:
    lines = list(comparison_lines([facts(1, "search", "static", 0.9)], ["parameters"], None))
    assert lines[0].split() == ["winner"]
    assert [line.split()[0] for line in lines].count("parameters") == 1


def test_what_fresh_seeds_say_ends_the_table() -> None:
    finalist = {**facts(25, "finalist", "nimble", 0.93), "seeds": [5, 6, 7]}
    control = {**facts(26, "control", "static", 0.90), "seeds": [5, 6, 7]}
    comparison = compare("accuracy", "maximize", (0.93, 0.95, 0.92), (0.90, 0.91, 0.89))
    lines = list(
        comparison_lines(
            [finalist, control], ["accuracy"], Answered(25, 26, (5, 6, 7), (3, 3), (comparison,), False, True, None)
        )
    )
    assert lines[0].split() == ["winner", "control"]
    assert lines[3].split() == ["seeds", "3", "3"]
    assert lines[-1].startswith("Changing neurons helped: accuracy +.03")


def test_a_regression_is_told_by_its_own_scores() -> None:
    regression = facts(1, "search", "static", 0.0)
    regression["metrics"] = {
        "parameters": 1.0,
        "neurons": 1.0,
        "multiply_adds": 1.0,
        "rmse": 2.0,
        "mae": 1.5,
        "r2": 0.5,
    }
    titles = [line.split()[0] for line in list(comparison_lines([regression], ["rmse"], None))[1:]]
    assert titles[5:11] == ["rmse", "test/rmse", "mae", "test/mae", "r2", "test/r2"]
    assert not any("accuracy" in title for title in titles)
