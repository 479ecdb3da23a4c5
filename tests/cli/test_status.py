from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurosearch.search.lease import LeasedTrial
from neurosearch.search.trial import trial_updates

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


def test_a_trial_on_several_seeds_counts_the_epochs_of_all(
    type_in: TypeIn, start: Callable[..., Any], tmp_path: Path
) -> None:
    study = start(tmp_path / "runs", search={"trials": 1, "seeds": 3})
    trial = study.ask()
    leased = LeasedTrial(trial.number, trial.role, dict(trial.config), trial.seeds, ())
    for update in trial_updates(leased, study.stored.folder, "cpu"):
        study.report(trial.number, update.records)
        if trial.number in {each.number for each in study.stored.trials() if each.epochs > 2}:
            break  # amid its second seed
    study.close()
    assert "waiting: trial 0, static, epoch 3 of 6\n" in type_in("status", "tiny").out
