import json

import pytest

from neurosearch.data.known import Known
from neurosearch.search.lease import Lease
from neurosearch.search.room import Room
from neurosearch.search.stored import StoredStudy
from neurosearch.search.used_data import UsedData, known, of_section, used_data


def section(make_config, **data):
    config = make_config(**({"data": data} if data else {}))
    return config.trial(lambda _name, node: (node.labels if hasattr(node, "labels") else node.ends)[0]).data


@pytest.fixture
def digits(make_config):
    return section(make_config)


def test_a_study_keeps_what_its_trials_were_trained_on(study, digits):
    used = UsedData.of(digits, "ab12", "5f5f")
    study.keep_data(used)
    study.keep_data(used)
    assert study.stored.folder.used == StoredStudy(study.stored.folder).folder.used == (used,)
    assert used_data(study.stored.attributes()) == (used,)


def test_what_was_not_written_down_is_not_known(study, digits):
    assert study.stored.folder.used == ()
    assert known(of_section(study.stored.folder.used, digits)) is None


def test_a_section_is_told_from_others(make_config, digits):
    used = UsedData.of(digits, "ab12", "5f5f")
    assert of_section([used], section(make_config, kind="digits", split_seed=1)) == ()
    assert of_section([used], section(make_config, kind="npz", path="/own.npz")) == ()
    assert of_section([used], section(make_config)) == (used,)


def test_a_section_is_known_again_when_a_field_came_in_since(digits):
    values = digits.model_dump(mode="json")
    del values["resize"]
    assert UsedData(json.dumps(values), "ab12", "5f5f").is_of(digits)
    assert not UsedData(json.dumps({**values, "gone": 1}), "ab12", "5f5f").is_of(digits)
    assert not UsedData(json.dumps({**values, "kind": "uninstalled"}), "ab12", "5f5f").is_of(digits)


def test_the_same_data_in_other_files_is_known_by_all_their_keys(digits):
    used = [UsedData.of(digits, key, "5f5f") for key in ("ab12", "cd34")]
    assert known(used) == Known(("ab12", "cd34"), "5f5f")
    assert len({each.attribute for each in used}) == 2


def test_a_worker_is_told_the_data_of_its_trials(study, make_config, digits):
    study.keep_data(UsedData.of(digits, "ab12", "5f5f"))
    study.keep_data(UsedData.of(section(make_config, kind="digits", split_seed=1), "cd34", "5f5f"))
    folder = study.stored.folder.with_data_of(study.ask().config)
    assert [each.key for each in folder.used] == ["ab12"]
    told = Lease.from_dict(json.loads(json.dumps(Lease(folder, (), Room(0.0), None).to_dict())))
    assert told.study.used == folder.used
