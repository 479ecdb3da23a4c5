from collections.abc import Callable
from pathlib import Path
from typing import Any

TypeIn = Callable[..., Any]


def test_people_see_how_a_study_stands(type_in: TypeIn, finished: Path) -> None:
    done = type_in("status", "tiny", "--folder", finished)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"study tiny in {finished}/tiny: complete"
    assert lines[1].startswith("trials: 3 of 3 (2 finished, 1 infeasible); searched for ")
    assert lines[2].startswith("best: trial ")
    assert " parameters, " in lines[2]
    assert lines[3].startswith("  model.widths [")
    assert lines[4] == f"next: neurosearch export tiny --folder {finished}"


def test_programs_see_facts(type_in: TypeIn, finished: Path) -> None:
    facts = type_in("status", "tiny", "--folder", finished, "--json").facts
    assert facts["counts"] == {"running": 0, "finished": 2, "infeasible": 1, "stopped": 0, "failed": 0}
    assert facts["budget"]["trials"] == facts["budget"]["trials_used"] == 3
    assert facts["objectives"] == [{"metric": "balanced_accuracy", "direction": "maximize"}]
    assert (facts["front"], facts["answer"]) == (None, None)
    assert facts["searched_by"] is None
    best = facts["best"]
    assert best["metrics"]["parameters"] <= facts["size_limit"]["parameters"]
    assert best["value"] == max(each["value"] for each in facts["trials"] if each["state"] == "finished")


def test_a_study_that_is_not_there_is_a_users_mistake(type_in: TypeIn, finished: Path) -> None:
    done = type_in("status", "tyni", "--folder", finished)
    assert done.code == 2
    assert f"there is no study 'tyni' in {finished}. Studies there: tiny." in done.err
    assert type_in("status", "tiny").code == 2
