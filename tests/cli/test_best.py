import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.made_studies import CONFIG, MadeStudy, config_with

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


def test_a_latency_has_its_digits_wherever_a_study_is_told(type_in: TypeIn, tmp_path: Path) -> None:
    objectives = [
        {"metric": "latency_seconds", "direction": "minimize"},
        {"metric": "balanced_accuracy", "direction": "maximize"},
    ]
    changes = {"search.trials": 3, "search.objectives": objectives, "training.measure_latency": True}
    MadeStudy(tmp_path, config_with(**changes)).search(3).confirm().done()
    for command, about in (("status", "best: "), ("status", "  trial "), ("best", "  latency"), ("front", "  trial ")):
        lines = type_in(command, "made", "--folder", tmp_path).out.splitlines()
        line = next(each for each in lines if each.startswith(about))
        assert re.search(r"latency_seconds 0\.2\d\d ms", line), (command, line)
    answer = type_in("status", "made", "--folder", tmp_path).out
    assert re.search(r"latency_seconds [+-]?[.\d]+ ms \(95 % interval \S+ to \S+ ms, 5 seeds", answer), answer


def test_a_control_that_wins_on_the_seeds_of_the_search_is_in_part_lucky(type_in: TypeIn, tmp_path: Path) -> None:
    growing = [each for each in CONFIG["growth"]["options"] if each["kind"] != "static"]
    changes = {"search.trials": 3, "search.finalists": 0, "growth.options": growing}
    made = MadeStudy(tmp_path, config_with(**changes), gain=-0.5).search(3)
    study = made.beside("control", made.study.stored.search_seeds).done()
    best = study.best()
    assert best is not None
    assert best.role == "control"
    lines = type_in("best", "made", "--folder", tmp_path).out.splitlines()
    assert "the best of 4 trials by balanced_accuracy (maximize), on the seeds of the search: in part luck." in lines
