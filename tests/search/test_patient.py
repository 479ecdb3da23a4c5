import threading
import time

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from neurosearch.search.desk import Desk
from neurosearch.search.errors import RightLost, StorageLost
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import search_lock
from neurosearch.search.seams import SilentListener, SilentTracker
from neurosearch.search.storage import open_storage
from neurosearch.search.study import create_study, resume_study
from tests.postgres import Wire

pytestmark = pytest.mark.servers
COMMITTED = b"COMMIT\0"  # how the server says that it has committed
TRIAL = optuna.create_trial(state=TrialState.RUNNING, user_attrs={"config": {}})


class Opened:
    def __init__(self, folder):
        self.folder = folder
        self.lock = search_lock(folder)
        self.opened = open_storage(folder)
        self.opened.hold(self.lock)
        self.storage = self.opened.optuna
        self.study = self.storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "moons")

    def trials(self):
        return open_storage(self.folder).optuna.get_all_trials(self.study)


@pytest.fixture
def opened(new_database, tmp_path):
    opened = Opened(StudyFolder(tmp_path, "moons", new_database()))
    yield opened
    opened.lock.release()


@pytest.fixture
def wire(postgres):
    wire = Wire(postgres)
    yield wire
    wire.close()


@pytest.fixture
def wired(wire, postgres, new_database, tmp_path):
    database = new_database().rsplit("/", 1)[1]
    opened = Opened(StudyFolder(tmp_path, "moons", postgres.address(database, port=wire.port)))
    yield opened
    opened.lock.release()


def test_a_server_that_restarts_is_waited_for(opened, postgres, caplog):
    opened.storage.create_new_trial(opened.study, TRIAL)
    postgres.stop()
    away = threading.Timer(1.5, postgres.start)
    away.start()
    number = opened.storage.create_new_trial(opened.study, TRIAL)
    away.join()
    opened.storage.set_trial_state_values(number, TrialState.COMPLETE, [0.5])
    assert [trial.state for trial in opened.trials()] == [TrialState.RUNNING, TrialState.COMPLETE]
    assert "cannot be used" in caplog.text
    assert "Trying again for 60 seconds" in caplog.text


def test_a_trial_whose_making_was_not_answered_is_made_once(wired, wire):
    wire.lose_answer(COMMITTED)
    wired.storage.create_new_trial(wired.study, TRIAL)
    assert wire.lost == 1
    assert [trial.number for trial in wired.trials()] == [0]
    wired.storage.create_new_trial(wired.study, TRIAL)
    assert [trial.number for trial in wired.trials()] == [0, 1]


def test_an_end_that_was_not_answered_is_told_once(wired, wire):
    trial = wired.storage.create_new_trial(wired.study, TRIAL)
    wire.lose_answer(COMMITTED)
    assert wired.storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    assert wire.lost == 1
    assert [trial.values for trial in wired.trials()] == [[0.5]]
    with pytest.raises(UpdateFinishedTrialError):
        wired.storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])


def test_a_study_whose_making_or_removal_was_not_answered_is_made_and_removed_once(wired, wire):
    wire.lose_answer(COMMITTED)
    suns = wired.storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "suns")
    assert wire.lost == 1
    assert wired.storage.get_study_id_from_name("suns") == suns
    wire.lose_answer(COMMITTED)
    wired.storage.delete_study(suns)
    assert wire.lost == 2
    assert [study.study_name for study in wired.storage.get_all_studies()] == ["moons"]


def test_values_that_were_not_answered_are_set_once(wired, wire):
    trial = wired.storage.create_new_trial(wired.study, TRIAL)
    for tell in (
        lambda: wired.storage.set_trial_user_attr(trial, "a", 1),
        lambda: wired.storage.set_trial_system_attr(trial, "b", 2),
        lambda: wired.storage.set_trial_intermediate_value(trial, 3, 0.5),
        lambda: wired.storage.set_study_user_attr(wired.study, "c", 4),
    ):
        wire.lose_answer(COMMITTED)
        tell()
    assert wire.lost == 4
    (found,) = wired.trials()
    assert (found.user_attrs["a"], found.system_attrs["b"], found.intermediate_values) == (1, 2, {3: 0.5})
    assert wired.storage.get_study_user_attrs(wired.study) == {"c": 4}


def test_a_server_that_does_not_come_back_ends_the_search_with_what_to_do(opened, postgres, monkeypatch):
    opened.storage._patience.seconds = 1.0  # not the minute that a search waits
    postgres.stop()
    try:
        since = time.monotonic()
        with pytest.raises(StorageLost, match="nothing listens at .*Nothing is lost.*neurosearch resume moons") as lost:
            opened.storage.create_new_trial(opened.study, TRIAL)
        assert time.monotonic() - since < 12
        since = time.monotonic()
        with pytest.raises(StorageLost):  # at once from now on
            opened.storage.set_study_user_attr(opened.study, "a", 1)
        assert time.monotonic() - since < 0.5
        assert "tiger" not in str(lost.value)
    finally:
        postgres.start()


def test_nothing_is_written_once_another_process_has_the_right_to_search(opened, postgres):
    postgres.stop()
    postgres.start()
    other = search_lock(opened.folder)
    with pytest.raises(RightLost):
        opened.storage.create_new_trial(opened.study, TRIAL)
    with pytest.raises(RightLost):
        opened.storage.set_study_user_attr(opened.study, "a", 1)
    assert opened.trials() == []
    assert opened.storage.get_study_user_attrs(opened.study) == {}
    other.release()


def desk_of(study):
    return Desk(study, SilentTracker(), SilentListener(), lambda trial: {}, lambda: ())


def test_a_search_whose_server_does_not_come_back_halts_and_goes_on_later(
    new_database, postgres, tmp_path, make_config, run_desk
):
    folder = StudyFolder(tmp_path, "moons", new_database())
    study = create_study(folder, make_config())
    study.stored.storage._patience.seconds = 0.5  # not the minute that a search waits
    desk = desk_of(study)
    run_desk(desk, updates=3)
    postgres.stop()
    try:
        run_desk(desk)
        assert "nothing listens" in desk.halted
        assert "Nothing is lost: once it can, go on with `neurosearch resume moons" in desk.halted
        assert desk.next_lease() is None
        assert desk.finished
        with pytest.raises(StorageLost):
            study.close()
    finally:
        postgres.start()
    again = resume_study(folder)
    run_desk(desk_of(again))
    assert [trial.state for trial in again.stored.trials()] == ["finished"] * 5
    again.close()
