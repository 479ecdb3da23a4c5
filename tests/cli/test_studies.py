from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.resume import as_it_goes_on
from neurosearch.cli.studies import next_commands, on_study, open_study, searcher, study_facts, study_lines
from neurosearch.config.base import ConfigError
from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.study import Study, resume_study
from tests.cli.conftest import TINY


def test_a_folder_is_named_only_where_it_is_not_the_default() -> None:
    assert on_study("resume", StudyFolder(Path("runs"), "a")) == "neurosearch resume a"
    assert on_study("export", StudyFolder(Path("my runs"), "a"), "--trial", 3) == (
        "neurosearch export a --trial 3 --folder 'my runs'"
    )


def test_a_complete_study_offers_its_winner(finished: Path) -> None:
    study = open_study("tiny", finished)
    assert next(study_lines(study)) == f"study tiny in {finished}/tiny: complete"
    assert next_commands(study) == (
        f"neurosearch export tiny --folder {finished}",
        f"neurosearch report tiny --folder {finished}",  # this study keeps nothing in MLflow
    )


def test_an_unfinished_study_offers_to_go_on(unfinished: Path) -> None:
    study = open_study("tiny", unfinished)
    lines = list(study_lines(study))
    assert lines[0] == f"study tiny in {unfinished}/tiny: stopped; it can go on"
    assert lines[1].startswith("trials: 2 of 3 (1 running, 1 ")
    assert lines[-1] == "waiting: trial 1, static, epoch 0 of 2"
    assert next_commands(study)[0] == f"neurosearch resume tiny --folder {unfinished}"


def test_a_study_that_needed_fewer_trials_says_why(
    start: Callable[..., Study], run_trials: Callable[..., None], tmp_path: Path
) -> None:
    study = start(tmp_path, search={**TINY["search"], "target": 0.0})
    run_trials(study)
    study.close()
    opened = open_study("tiny", tmp_path)
    assert next(study_lines(opened)).endswith("tiny: complete: search.target of 0 is reached")
    assert not any("resume" in command for command in next_commands(opened))


def test_a_study_that_is_searched_offers_to_watch_and_to_stop(unfinished: Path) -> None:
    study = open_study("tiny", unfinished)
    assert searcher(study) is None
    held = resume_study(StudyFolder(unfinished, "tiny"))
    try:
        assert str(searcher(study)).startswith("process ")
        lines = list(study_lines(study))
        assert lines[0].startswith(f"study tiny in {unfinished}/tiny: searching (process ")
        assert lines[-1] == "running: trial 1, static, epoch 0 of 2"
        assert next_commands(study)[1] == f"neurosearch stop tiny --folder {unfinished}"
        study.request_stop()
        assert next(study_lines(study)).startswith(f"study tiny in {unfinished}/tiny: stopping (process ")
    finally:
        held.close()
    assert searcher(study) is None


def outcome(*scores: float, parameters: float = 1000.0) -> TrialOutcome:
    per_seed = tuple(
        {"balanced_accuracy": score, "parameters": parameters, "neurons": 20.0, "multiply_adds": 1e3}
        for score in scores
    )
    mean = {**per_seed[0], "balanced_accuracy": sum(scores) / len(scores)}
    return TrialOutcome("finished", None, mean, 2, 1.0, (), per_seed)


OBJECTIVES = [
    {"metric": "balanced_accuracy", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
]


def test_a_front_and_the_answer_are_told(tmp_path: Path, start: Callable[..., Any]) -> None:
    study = start(tmp_path, search={"trials": 3, "fresh_seeds": 3, "objectives": OBJECTIVES})
    for score, parameters in ((0.9, 1500.0), (0.7, 500.0)):
        study.tell(study.ask().number, outcome(score, parameters=parameters))
    stopped = study.ask().number
    metrics = outcome(0.3).metrics
    record = {"epoch": 1, "step": 9, "metrics": metrics, "events": [], "at_rest": True, "seed_index": 0}
    study.report(stopped, [{**record, "checkpoint": None}])
    study.tell(stopped, TrialOutcome("stopped", "stopped at rung 0", metrics, 1, 1.0, ()))
    config = TrialConfig.model_validate(study.stored.trial(0).config)
    seeds = study.stored.fresh_seeds
    finalist = study.ask_for(config, "finalist", seeds, {})
    study.tell(finalist.number, outcome(0.88, 0.87, 0.89, parameters=1500.0))
    wider = config.model_copy(update={"model": config.model.model_copy(update={"widths": (24,)})})
    control = study.ask_for(wider, "control", seeds, {})
    study.tell(control.number, outcome(0.80, 0.80, 0.79, parameters=1900.0))
    study.close()

    opened = open_study("tiny", tmp_path)
    lines = list(study_lines(opened))
    assert "1 stopped" in lines[1]
    front = next(index for index, line in enumerate(lines) if line.startswith("front: "))
    assert lines[front].startswith("front: 2 networks that none dominates, hypervolume 0.5")
    assert lines[front + 1] == "  trial   0  static    balanced_accuracy 0.9000, parameters 1,500"
    assert lines[front + 2] == "  trial   1  static    balanced_accuracy 0.7000, parameters 500"
    assert lines[front + 3].startswith("The winner is a fixed network, and none whose neurons changed stands beside it")
    facts = study_facts(opened)
    assert [(each["trial"], each["epoch"]) for each in facts["front"]["front"]] == [(0, None), (1, None)]
    assert facts["front"]["hypervolume"] == pytest.approx(0.25 * 0.9 + 0.5 * 0.7)
    assert [number for number, _, _ in facts["front"]["history"]] == [0, 1, finalist.number, control.number]
    assert (facts["answer"]["searched"], facts["answer"]["control"]) == (finalist.number, control.number)
    assert [each["metric"] for each in facts["answer"]["comparisons"]] == ["balanced_accuracy", "parameters"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("name=other", "name: is the name of the study that is gone on with. Take it out; it stays tiny."),
        ("storage.folder=/elsewhere", "storage.folder: moves no study. Take it out, and say by --folder where"),
        ("storage.database=sqlite:////a/b.db", "storage.database: moves no study. Take it out, and say by --database"),
    ],
)
def test_a_change_at_resume_neither_renames_nor_moves_a_study(unfinished: Path, change: str, words: str) -> None:
    study = open_study("tiny", unfinished)
    with pytest.raises(ConfigError) as refused:
        as_it_goes_on(study, (change, "search.trials=9"))
    assert f"--set {change}: {words}" in str(refused.value)
    same = (f"storage.folder={study.config.study.storage.folder}", "name=tiny", "search.trials=9")
    assert as_it_goes_on(study, same).study.search.trials == 9
