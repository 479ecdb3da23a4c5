"""What every storage must do: one class of tests, run over a journal, a SQLite file and a PostgreSQL server."""

import json
import multiprocessing
import os
import time
from contextlib import closing
from dataclasses import replace

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import TrialState

from neurosearch.config.database import database_address
from neurosearch.search.connections import connect
from neurosearch.search.errors import NoStudy, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import holder, search_lock
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.storage import new_storage, open_storage, storage_exists, stored_names
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study, resume_study

FORK = multiprocessing.get_context("fork")
MANY = 1000
STALL_SECONDS = 10.0  # Optuna's own lock of a killed process costs 30
DATABASES = ("sqlite", pytest.param("postgres", marks=pytest.mark.servers))


@pytest.fixture(params=["journal", *DATABASES])
def folder(request, tmp_path):
    """Where a study lies whose trials are kept in a storage of each kind."""
    root = tmp_path / "runs"
    match request.param:
        case "journal":
            return StudyFolder(root, "moons")
        case "sqlite":
            return StudyFolder(root, "moons", f"sqlite:///{tmp_path}/studies.db")
        case _:
            return StudyFolder(root, "moons", request.getfixturevalue("new_database")())


@pytest.fixture
def study(folder, make_config):
    study = create_study(folder, make_config(**{"search.trials": 500}))
    yield study
    study.close()


def started(work, *arguments):
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def killed(process):
    process.kill()
    process.join()


def write_without_end(folder, config, outcome, told):
    """Search, and say which trials have been told; a process that is killed in the middle."""
    study = create_study(folder, config)
    while True:
        number = study.ask().number
        study.report(number, [])
        study.tell(number, outcome(number / 1000))
        told.put(number)


def hold(folder, held):
    _lock = search_lock(folder)
    held.set()
    time.sleep(60)


class TestEveryStorage:
    def test_to_look_for_a_study_makes_nothing(self, folder, tmp_path):
        assert not storage_exists(folder)
        assert stored_names(folder) == ()
        with pytest.raises(NoStudy, match="there is no study 'moons' in .*Studies there: none"):
            StoredStudy(folder)
        assert not list(tmp_path.iterdir())
        assert not storage_exists(folder)

    def test_another_opening_reads_what_was_told(self, study, folder, make_outcome, make_record):
        number = study.ask().number
        study.report(number, [make_record(1, 0.25), make_record(2, 0.5)])
        told = study.tell(number, make_outcome(0.75, 50))
        running = study.ask()
        stored = StoredStudy(folder)
        assert stored.config.fingerprint() == study.config.fingerprint()
        assert stored.trials() == study.stored.trials()
        assert stored.trial(number) == told
        assert (told.state, told.values) == ("finished", (0.75,))
        assert stored.trial_info(running.number) == running
        assert stored.frozen_trial(number).params == study.stored.frozen_trial(number).params

    def test_trials_are_numbered_and_ordered_as_they_were_asked(self, study, folder):
        numbers = [study.ask().number for _ in range(8)]
        for number in reversed(numbers):
            study.tell(number, TrialOutcome.failed("broke"))
        assert numbers == list(range(8))
        assert [trial.number for trial in StoredStudy(folder).trials()] == numbers

    def test_what_is_told_twice_is_told_once(self, study, folder, make_outcome):
        number = study.ask().number
        first = study.tell(number, make_outcome(0.5))
        assert study.tell(number, make_outcome(0.9)) == first
        assert StoredStudy(folder).trials() == (first,)

    def test_names_are_unique_and_a_used_one_with_another_space_is_refused(self, study, folder, make_config):
        study.ask()
        study.close()
        with pytest.raises(StudyError, match="there is a study 'moons' in .* already"):
            create_study(folder, make_config())
        with pytest.raises(StudyError, match="has another space: training.epochs differs"):
            create_study(folder, make_config(**{"training.epochs": 5}))
        other = replace(folder, name="suns")
        create_study(other, make_config(name="suns")).close()
        assert set(stored_names(folder)) == {"moons", "suns"}
        assert len(StoredStudy(folder).trials()) == 1

    def test_one_name_is_given_to_one_study(self, study, folder):
        storage = open_storage(folder).optuna
        with pytest.raises(DuplicatedStudyError):
            storage.create_new_study([StudyDirection.MAXIMIZE], "moons")
        assert stored_names(folder) == ("moons",)

    @pytest.mark.parametrize("folder", DATABASES, indirect=True)
    def test_tables_without_their_version_are_still_being_made(self, folder):
        open_storage(folder)
        address = database_address(folder.database)
        with closing(connect(address)) as connection:
            connection.cursor().execute("DELETE FROM alembic_version")
            connection.commit()
        assert not storage_exists(folder)
        open_storage(folder)  # whoever comes next makes them whole
        assert storage_exists(folder)

    def test_processes_that_open_a_new_storage_at_once_all_get_it(self, folder):
        folder.path.mkdir(parents=True)
        begin = FORK.Barrier(4)

        def make(number):
            begin.wait(20)
            storage = open_storage(folder).optuna
            try:
                study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "moons")
            except DuplicatedStudyError:
                study_id = storage.get_study_id_from_name("moons")
            storage.set_study_user_attr(study_id, f"key {number}", number)

        makers = [started(make, number) for number in range(4)]
        for maker in makers:
            maker.join(60)
            assert maker.exitcode == 0
        (study,) = open_storage(folder).optuna.get_all_studies()
        assert study.user_attrs == {f"key {number}": number for number in range(4)}

    def test_a_study_without_a_trial_does_not_hold_its_name(self, study, folder, make_config):
        study.close()
        again = create_study(folder, make_config(**{"training.epochs": 5}))
        assert again.ask().number == 0
        again.close()

    def test_attributes_are_set_anew_and_read_by_others(self, study, folder):
        other = StoredStudy(folder)
        for value in (1, [2, {"three": None}], "ü" * 10_000):
            study.stored.storage.set_study_user_attr(study.stored.study_id, "mine", value)
            assert other.attributes()["mine"] == value

    def test_what_was_written_in_a_batch_is_there_after_it(self, study, folder):
        with study.stored.batch():
            for key in "abc":
                study.stored.storage.set_study_user_attr(study.stored.study_id, key, key)
        assert {key: StoredStudy(folder).attributes()[key] for key in "abc"} == {key: key for key in "abc"}

    def test_a_stop_that_another_process_requests_is_seen(self, study, folder):
        request = started(lambda: StoredStudy(folder).request_stop())
        request.join(30)
        assert study.stored.stop_requested == "soon"
        study.close()
        again = resume_study(folder)
        assert again.stored.stop_requested is None
        again.close()

    @pytest.mark.parametrize("seed", range(2))
    def test_a_writer_killed_in_the_middle_loses_nothing_and_stalls_nobody(
        self, folder, make_config, make_outcome, seed
    ):
        told = FORK.SimpleQueue()
        writer = started(write_without_end, folder, make_config(**{"search.trials": 500}), make_outcome, told)
        numbers = [told.get() for _ in range(3)]
        time.sleep(0.02 + 0.05 * seed)
        killed(writer)
        while not told.empty():
            numbers.append(told.get())
        since = time.monotonic()
        study = resume_study(folder)
        trials = study.stored.trials()
        assert [trial.values for trial in trials[: len(numbers)]] == [(number / 1000,) for number in numbers]
        assert len(trials) <= len(numbers) + 2  # one told but not said yet, and one asked
        study.tell(study.ask().number, make_outcome(0.9))
        assert time.monotonic() - since < STALL_SECONDS
        assert [trial.number for trial in study.stored.trials()] == list(range(len(study.stored.trials())))
        study.close()

    def test_who_reads_while_another_writes_sees_whole_trials(self, study, folder, make_outcome, make_record):
        broken = FORK.SimpleQueue()
        done = FORK.Event()

        def read():
            stored, seen = StoredStudy(folder), {}
            while not done.is_set():
                for trial in stored.trials():
                    whole = trial.config["training"]["epochs"] == 4 and trial.params
                    ended = trial.state == "running" or trial.values == (trial.number / 1000,)
                    if not whole or not ended or seen.get(trial.number, trial) != trial:
                        broken.put(trial.number)
                    if trial.state != "running":
                        seen[trial.number] = trial

        readers = [started(read) for _ in range(2)]
        for number in range(8):
            assert study.ask().number == number
            study.report(number, [make_record(1)])
            study.tell(number, make_outcome(number / 1000))
        done.set()
        for reader in readers:
            reader.join(30)
            assert reader.exitcode == 0
        assert broken.empty()

    def test_a_thousand_trials_are_read_fast_enough(self, folder, make_config):
        create_study(folder, make_config()).close()
        storage = open_storage(folder).optuna
        study_id = storage.get_study_id_from_name("moons")
        fill(folder, storage, study_id)
        since = time.monotonic()
        trials = open_storage(folder).optuna.get_all_trials(study_id, deepcopy=False)
        assert time.monotonic() - since < 15.0
        assert [(trial.number, trial.values) for trial in trials] == [(number, [0.5]) for number in range(MANY)]
        storage.get_all_trials(study_id, deepcopy=False)
        since = time.monotonic()
        for _ in range(5):
            storage.get_all_trials(study_id, deepcopy=False)
        assert (time.monotonic() - since) / 5 < 0.5  # what has ended is not read again

    def test_the_right_to_search_is_held_once_and_named(self, folder):
        folder.path.mkdir(parents=True)
        assert holder(folder) is None
        lock = search_lock(folder)
        assert holder(folder) == f"process {os.getpid()} on {os.uname().nodename}"
        with pytest.raises(StudyError, match=f"searched already, by process {os.getpid()} on"):
            search_lock(folder)
        lock.ensure()
        lock.release()
        lock.release()
        assert not lock.held
        assert holder(folder) is None
        search_lock(folder).release()

    def test_a_killed_holder_leaves_no_lock(self, folder):
        folder.path.mkdir(parents=True)
        held = FORK.Event()
        process = started(hold, folder, held)
        assert held.wait(20)
        with pytest.raises(StudyError, match=f"process {process.pid}"):
            search_lock(folder)
        killed(process)
        since = time.monotonic()
        search_lock(folder).release()
        assert time.monotonic() - since < STALL_SECONDS

    def test_a_study_searched_elsewhere_is_left_alone(self, study, folder, make_config):
        study.ask()
        before = StoredStudy(folder).attributes()
        with pytest.raises(StudyError, match="is being searched already"):
            resume_study(folder)
        with pytest.raises(StudyError, match="is being searched already"):
            create_study(folder, make_config())
        assert StoredStudy(folder).attributes() == before

    def test_trials_of_an_unknown_study_in_the_folder_are_not_gone_on_with(self, folder, make_config):
        folder.trial(0).mkdir(parents=True)
        with pytest.raises(StudyError, match="knows nothing of.*another name or another storage.folder"):
            create_study(folder, make_config())
        assert folder.trial(0).exists()
        assert not storage_exists(folder) or stored_names(folder) == ()

    def test_what_a_search_left_that_made_no_trial_is_removed(self, folder, make_config):
        folder.path.mkdir(parents=True)
        storage = open_storage(folder).optuna
        optuna.create_study(study_name="moons", storage=storage)  # and killed before it wrote its config
        with pytest.raises(NoStudy):
            StoredStudy(folder)
        assert new_storage(folder).optuna.get_all_studies() == []


def fill(folder, storage, study_id):
    """Write a thousand ended trials: into a database in one transaction, which tests how they are read alone."""
    space = {name: FloatDistribution(0, 1) for name in ("a", "b", "c")}
    values = dict.fromkeys(space, 0.5)
    attributes = {"config": {"widths": [8] * 50}, "role": "search"}
    trial = optuna.create_trial(
        state=TrialState.COMPLETE, value=0.5, params=values, distributions=space, user_attrs=attributes
    )
    if folder.database is None:
        for _ in range(MANY):
            storage.create_new_trial(study_id, trial)
        return
    from optuna.storages._rdb import models

    from neurosearch.search.database import Database

    database = Database(database_address(folder.database))
    with database.scoped_session() as session:
        times = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
        rows = [
            models.TrialModel(study_id=study_id, number=number, state=TrialState.COMPLETE, **times)
            for number in range(MANY)
        ]
        session.add_all(rows)
        session.flush()
        texts = {name: optuna.distributions.distribution_to_json(node) for name, node in space.items()}
        finite = models.TrialValueModel.TrialValueType.FINITE
        for own in [{"trial_id": row.trial_id} for row in rows]:
            session.add(models.TrialValueModel(**own, objective=0, value=0.5, value_type=finite))
            for name, text in texts.items():
                session.add(models.TrialParamModel(**own, param_name=name, param_value=0.5, distribution_json=text))
            for key, value in attributes.items():
                session.add(models.TrialUserAttributeModel(**own, key=key, value_json=json.dumps(value)))
        session.commit()
    database.engine.dispose()
