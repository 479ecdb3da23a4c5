import json

import pytest

from neurosearch.search.outcome import TrialOutcome, TrialResult, last_epoch, read_result, write_result

OUTCOME = TrialOutcome("finished", None, {"accuracy": 0.5}, 3, 1.25, ({"step": 3, "added": 1},))


def test_an_outcome_survives_the_way_through_json():
    for outcome in (OUTCOME, TrialOutcome.failed("broke", 2, 0.5)):
        assert TrialOutcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


def test_a_result_is_read_back_as_it_was_written(tmp_path, make_record):
    result = TrialResult(7, {"seed": 1}, OUTCOME, (make_record(1), make_record(2)))
    write_result(tmp_path / "trials" / "result.json", result)
    assert read_result(tmp_path / "trials" / "result.json") == result
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["result.json"]


def test_a_trial_without_an_end_has_no_result(tmp_path):
    assert read_result(tmp_path / "result.json") is None


def test_a_full_disk_leaves_the_old_result(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_result(path, TrialResult(1, {}, OUTCOME, ()))
    before = path.read_bytes()

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurosearch.search.outcome.os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_result(path, TrialResult(2, {}, OUTCOME, ()))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_epoch_of_nothing_is_none(make_record):
    assert last_epoch([]) == 0
    assert last_epoch([make_record(2), make_record(5)]) == 5


def test_a_result_of_another_format_is_refused(tmp_path):
    path = tmp_path / "result.json"
    write_result(path, TrialResult(1, {}, TrialOutcome.failed("broke"), ()))
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(ValueError, match="has format 1, and this neurosearch reads 2"):
        read_result(path)
