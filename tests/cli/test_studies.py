from pathlib import Path

from neurosearch.cli.studies import next_commands, on_study, open_study, searcher, study_lines
from neurosearch.search.folders import StudyFolder
from neurosearch.search.study import resume_study


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
        f"neurosearch ui tiny --folder {finished}",
    )


def test_an_unfinished_study_offers_to_go_on(unfinished: Path) -> None:
    study = open_study("tiny", unfinished)
    lines = list(study_lines(study))
    assert lines[0] == f"study tiny in {unfinished}/tiny: stopped; it can go on"
    assert lines[1].startswith("trials: 2 of 3 (1 running, 1 ")
    assert lines[-1] == "waiting: trial 1, static, epoch 0 of 2"
    assert next_commands(study)[0] == f"neurosearch resume tiny --folder {unfinished}"


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
