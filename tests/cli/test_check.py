from collections.abc import Callable
from pathlib import Path
from typing import Any

TypeIn = Callable[..., Any]


def test_a_right_config_is_ok_and_says_what_to_type(type_in: TypeIn, config: Callable[..., Path]) -> None:
    done = type_in("check", config().name)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "tiny.yaml: ok. Study tiny: 2 trials over 0 hyperparameters.",
        "next: neurosearch search tiny.yaml",
    ]


def test_facts_are_json(type_in: TypeIn, config: Callable[..., Path]) -> None:
    facts = type_in("check", config().name, "--json", "--set", "training.epochs={search: int, low: 2, high: 3}").facts
    assert facts["ok"] is True
    assert facts["hyperparameters"] == ["training.epochs"]
    assert facts["next"] == ["neurosearch search tiny.yaml --set 'training.epochs={search: int, low: 2, high: 3}'"]


def test_a_wrong_config_is_told_with_file_and_line(type_in: TypeIn, config: Callable[..., Path]) -> None:
    done = type_in("check", config(training="{epochs: 0}").name)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "tiny.yaml:7: training.epochs: must be at least 1, but is 0. (Passes over the training part.)",
        "1 problem found; nothing was started. Mend and check again.",
        "next: neurosearch check tiny.yaml",
    ]


def test_a_wrong_config_is_json_where_asked(type_in: TypeIn) -> None:
    done = type_in("check", "absent.yaml", "--json")
    assert done.code == 2
    assert done.facts["problems"] == [
        {"where": "absent.yaml", "field": "", "text": "cannot be read: No such file or directory. Check the path."}
    ]
