from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TypeIn = Callable[..., Any]

OBJECTIVES = [
    {"metric": "balanced_accuracy", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
]


@pytest.fixture
def searched(start: Callable[..., Any], run_trials: Callable[..., None], tmp_path: Path) -> Callable[..., None]:
    def search(**fields: Any) -> None:
        study = start(
            tmp_path / "runs",
            size_limit={"parameters": 20000},
            search={"trials": 2, "objectives": OBJECTIVES, **fields},
        )
        run_trials(study)
        study.close()

    return search


def test_the_front_is_what_status_tells_of_it(type_in: TypeIn, searched: Callable[..., None]) -> None:
    searched()
    done = type_in("front", "tiny")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("front: ")
    assert done.out.splitlines()[1] in type_in("status", "tiny").out
    facts = type_in("front", "tiny", "--json").facts
    assert facts["objectives"] == OBJECTIVES
    first = facts["front"][0]
    assert list(first["metrics"].values()) == first["values"]
    assert (first["epoch"], first["kind"]) == (None, "static")
    assert f"neurosearch export tiny --trial {first['trial']}" in done.out


def test_epochs_of_a_study_that_keeps_them_can_be_exported(type_in: TypeIn, searched: Callable[..., None]) -> None:
    searched(candidates="at_rest", trials=1)
    facts = type_in("front", "tiny", "--json").facts
    assert facts["epochs_are_kept"]
    assert {each["epoch"] for each in type_in("front", "tiny", "--final", "--json").facts["front"]} == {None}
    by_epoch = [each["epoch"] for each in facts["front"]]
    words = " --epoch" if by_epoch[0] is not None else ""
    assert facts["next"][0].startswith(f"neurosearch export tiny --trial 0{words}")


def test_epochs_of_a_study_that_keeps_none_are_shown_only(type_in: TypeIn, searched: Callable[..., None]) -> None:
    searched(trials=1)
    facts = type_in("front", "tiny", "--epochs", "--json").facts
    assert not facts["epochs_are_kept"]
    assert "--epoch" not in facts["next"][0]


def test_several_seeds_make_no_epoch_one_network(type_in: TypeIn, searched: Callable[..., None]) -> None:
    searched(seeds=2, trials=1)
    done = type_in("front", "tiny", "--epochs")
    assert done.code == 2
    assert "no epoch of it is one network" in done.err


def test_one_objective_has_a_best_trial_and_no_front(type_in: TypeIn, finished: Path) -> None:
    done = type_in("front", "tiny", "--folder", finished)
    assert done.code == 2
    assert f"next: neurosearch best tiny --folder {finished}" in done.err


def test_a_front_of_nothing_has_an_exit_code_of_its_own(
    type_in: TypeIn, start: Callable[..., Any], tmp_path: Path
) -> None:
    start(tmp_path / "runs", search={"objectives": OBJECTIVES}).close()
    assert type_in("front", "tiny").code == 4
