import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.picture import Picture, stored_picture
from neurosearch.cli.screen import Screen, screen_facts
from neurosearch.config.load import StudyConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.stored import BEGAN, StoredStudy
from neurosearch.search.study import Study
from neurosearch.search.trial import trial_updates

Start = Callable[..., Study]


@pytest.fixture
def shown(tmp_path: Path, start: Start) -> tuple[Screen, Screen]:
    """What a search shows of itself and what its storage lets others see, with one trial ended and one in its midst."""
    objectives = [
        {"metric": "balanced_accuracy", "direction": "maximize"},
        {"metric": "neurons", "direction": "minimize"},
    ]
    study = start(tmp_path, search={"trials": 3, "objectives": objectives})
    picture = Picture(study.config, study.stored.folder)
    for last in (2, 1):
        trial = study.ask()
        assert trial is not None
        picture.on_trial_started(trial)
        leased = LeasedTrial(trial.number, trial.role, dict(trial.config), trial.seeds, (), False)
        for update in trial_updates(leased, study.stored.folder, "cpu"):
            if update.records:
                study.report(trial.number, update.records)
                picture.on_records(trial.number, update.records)
            if update.outcome is not None:
                summary = study.tell(trial.number, update.outcome)
                picture.on_trial_finished(summary, study.stored.best())
            if last == 1 and update.records:
                break
    stored = stored_picture(StoredStudy(study.stored.folder), lambda _: True)
    study.close()
    return picture.look(), stored


def test_a_search_and_its_storage_show_the_same(shown: tuple[Screen, Screen]) -> None:
    own, stored = (screen_facts(screen) for screen in shown)
    for facts in (own, stored):
        assert facts.pop("seconds") >= 0
        assert facts.pop("seconds_left") > 0
    assert own == stored


def test_a_running_trial_has_a_course_of_scores_and_sizes(shown: tuple[Screen, Screen]) -> None:
    for screen in shown:
        (trial,) = screen.running
        assert (trial.number, trial.kind, trial.epoch, trial.epochs) == (1, "static", 1, 2)
        assert len(trial.scores) == len(trial.sizes) == 1
        assert trial.sizes[0] > 100
        assert screen.size_metric == "parameters", "what the size limit bounds"


def test_facts_are_fit_for_json(shown: tuple[Screen, Screen]) -> None:
    facts = json.loads(json.dumps(screen_facts(shown[0])))
    assert facts["state"] == "searching"
    assert (facts["trials_used"], facts["trials"]) == (2, 3)
    assert facts["counts"]["running"] == 1
    if facts["best"] is not None:
        assert [each["trial"] for each in facts["front"]] == [0]


def test_a_stop_and_notes_are_seen(tmp_path: Path, tiny: Callable[..., StudyConfig]) -> None:
    picture = Picture(tiny(), StudyFolder(tmp_path, "tiny"))
    assert picture.look().state == "starting"
    picture.on_stopping()
    for index in range(9):
        picture.note(f"note {index}")
    screen = picture.look()
    assert screen.state == "stopping"
    assert screen.notes[0] == "note 8"
    assert screen.seconds_left is None


def test_a_resumed_study_shows_what_was_before(unfinished: Path, tiny: Callable[..., StudyConfig]) -> None:
    folder = StudyFolder(unfinished, "tiny")
    before = StoredStudy(folder)
    screen = Picture(tiny(), folder, before).look()
    assert screen.trials_used == 2
    assert [trial.number for trial in screen.running] == [1]
    assert screen.seconds >= before.seconds_used


def test_a_pause_is_no_time_of_searching(unfinished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StoredStudy(StudyFolder(unfinished, "tiny"))
    resumed = time.time() + 86_400.0
    study.storage.set_study_user_attr(study.study_id, BEGAN, resumed)
    monkeypatch.setattr(time, "time", lambda: resumed + 5.0)
    assert stored_picture(study, lambda _: True).seconds == pytest.approx(study.seconds_used + 5.0)


@pytest.mark.parametrize(("fixture", "state"), [("finished", "complete"), ("unfinished", "stopped")])
def test_a_study_that_nobody_searches_is_complete_or_stopped(
    fixture: str, state: str, request: pytest.FixtureRequest
) -> None:
    root: Any = request.getfixturevalue(fixture)
    assert stored_picture(StoredStudy(StudyFolder(root, "tiny")), lambda _: False).state == state
