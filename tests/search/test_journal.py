import json
import multiprocessing
import time
from contextlib import suppress

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from neurosearch.search.journal import Journal, open_journal


def opened(path):
    journal, storage = open_journal(path)
    if not storage.get_all_studies():
        optuna.create_study(study_name="s", storage=storage)
    return journal, storage, storage.get_study_id_from_name("s")


def test_what_is_written_is_read_by_another_process(tmp_path):
    _, storage, study = opened(tmp_path / "j")
    storage.set_study_user_attr(study, "a", [1, {"b": None}])
    assert open_journal(tmp_path / "j")[1].get_study_user_attrs(study) == {"a": [1, {"b": None}]}


@given(torn=st.binary(min_size=1, max_size=9000).filter(lambda text: b"\n" not in text))
def test_a_torn_line_is_passed_over_and_cut_off_by_the_next_write(tmp_path_factory, torn):
    path = tmp_path_factory.mktemp("journal") / "j"
    _, storage, study = opened(path)
    storage.set_study_user_attr(study, "before", 1)
    with path.open("ab") as file:
        file.write(torn)
    _, again = open_journal(path)
    assert again.get_study_user_attrs(study) == {"before": 1}
    again.set_study_user_attr(study, "after", 2)
    for each in (again, open_journal(path)[1], storage):
        assert each.get_study_user_attrs(study) == {"before": 1, "after": 2}
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_journal_that_is_torn_from_the_start_starts_anew(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"op_code":0,"study_na')
    _, storage, study = opened(path)
    assert storage.get_study_name_from_id(study) == "s"


def test_a_batch_is_written_in_one_piece_or_not_at_all(tmp_path):
    journal, storage, study = opened(tmp_path / "j")
    trial = storage.create_new_trial(study)
    length = (tmp_path / "j").stat().st_size
    with journal.batch():
        storage.set_trial_user_attr(trial, "a", 1)
        storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])
        assert (tmp_path / "j").stat().st_size == length
    found = storage.get_trial(trial)
    assert (found.user_attrs, found.state, found.value) == ({"a": 1}, TrialState.COMPLETE, 1.0)

    with suppress(ZeroDivisionError), journal.batch():
        storage.set_study_user_attr(study, "half", 1)
        assert 1 // 0
    assert storage.get_study_user_attrs(study) == {}


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    _, storage, study = opened(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("neurosearch.search.journal.os.fsync", no_space)
        with pytest.raises(OSError, match="No space"):
            storage.set_study_user_attr(study, "a", 1)
    assert (tmp_path / "j").read_bytes() == before
    storage.set_study_user_attr(study, "a", 2)
    assert storage.get_study_user_attrs(study) == {"a": 2}


def _write_for_ever(path, started):
    journal = Journal(path)
    started.set()
    while True:
        journal.append_logs([{"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"x": "y" * 500}}])


def test_a_killed_writer_leaves_no_lock_and_no_damage(tmp_path):
    path = tmp_path / "j"
    _, storage, study = opened(path)
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        started = context.Event()
        writer = context.Process(target=_write_for_ever, args=(path, started))
        writer.start()
        started.wait()
        time.sleep(0.02)
        writer.kill()
        writer.join()
        begun = time.monotonic()
        storage.set_study_user_attr(study, "mine", begun)
        assert time.monotonic() - begun < 2
        assert open_journal(path)[1].get_study_user_attrs(study)["mine"] == begun


def _count_up(path, name):
    _, storage, study = opened(path)
    for value in range(100):
        storage.set_study_user_attr(study, f"{name}-{value}", value)


def test_two_processes_write_without_losing_a_line(tmp_path):
    path = tmp_path / "j"
    opened(path)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_count_up, args=(path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    _, storage, study = opened(path)
    assert len(storage.get_study_user_attrs(study)) == 200
