from collections.abc import Callable
from pathlib import Path
from typing import Any

TypeIn = Callable[..., Any]


def test_people_see_the_best_trial_and_why_it_is_the_best(type_in: TypeIn, finished: Path) -> None:
    done = type_in("best", "tiny", "--folder", finished)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("trial ")
    assert ", static, searched: " in lines[0]
    assert lines[1].startswith("  balanced_accuracy 0.")
    assert lines[2].startswith("  model.widths [")
    assert lines[3].startswith("  1 seed, 2 epochs, ")
    assert lines[4] == (
        "the best of 3 trials by balanced_accuracy (maximize), on the seeds of the search: in part luck."
    )
    assert lines[5] == f"next: neurosearch export tiny --folder {finished}"


def test_programs_see_the_same_trial_as_status_calls_the_best(type_in: TypeIn, finished: Path) -> None:
    facts = type_in("best", "tiny", "--folder", finished, "--json").facts
    assert facts["best"] == type_in("status", "tiny", "--folder", finished, "--json").facts["best"]
    assert facts["trials"] == [facts["best"]]


def test_several_are_told_by_the_first_objective_best_first(type_in: TypeIn, finished: Path) -> None:
    trials = type_in("best", "tiny", "--folder", finished, "--top", 9, "--json").facts["trials"]
    values = [trial["value"] for trial in trials]
    assert len(values) == 2  # the third is beyond the size limit
    assert values == sorted(values, reverse=True)


def test_nothing_feasible_has_an_exit_code_of_its_own(
    type_in: TypeIn, start: Callable[..., Any], tmp_path: Path
) -> None:
    start(tmp_path / "runs").close()
    done = type_in("best", "tiny")
    assert done.code == 4
    assert done.out.startswith("no trial of 'tiny' is feasible yet")
