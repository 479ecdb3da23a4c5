"""A study goes on with the data that its trials were trained on, or not at all."""

import os
from dataclasses import replace

import numpy as np
import pytest

from neurosearch.config.s3 import S3Fields
from neurosearch.config.trial import TrialConfig
from neurosearch.data.problems import DataError
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import ArtifactsPlace
from neurosearch.search.run import _described, _make_ready, run_search
from neurosearch.search.sources import unchanged_sources
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study, resume_study

X, Y = np.random.default_rng(0).normal(size=(60, 3)).astype("float32"), np.arange(60) % 3


def save(path, x=X, seconds=0):
    np.savez(path, x_train=x[:40], y_train=Y[:40], x_test=x[40:], y_test=Y[40:])
    os.utime(path, (1_000_000 + seconds, 1_000_000 + seconds))


@pytest.fixture
def source(tmp_path):
    save(tmp_path / "own.npz")
    return tmp_path / "own.npz"


@pytest.fixture
def study(folder, make_config, source):
    study = create_study(folder, make_config(data={"kind": "npz", "path": str(source)}))
    _make_ready(study)
    yield study
    study.close()


def opened(study, folder=None):
    return opened_data(TrialConfig.model_validate(study.stored.trial(0).config), folder or study.stored.folder)


def test_before_a_trial_starts_the_study_knows_its_data(study):
    tags = _described(study.ask(), study)
    (used,) = StoredStudy(study.stored.folder).folder.used
    assert (used.key, used.data_hash) == (opened(study).folder.name, tags["data_hash"])


def test_trials_go_on_with_their_data_while_the_source_changes_or_goes(study, source):
    before = _described(study.ask(), study)
    save(source, X + 1, seconds=5)
    assert _described(study.ask(), study) == before
    source.unlink()
    assert _described(study.ask(), study) == before
    assert opened(study, StoredStudy(study.stored.folder).folder).manifest.data_hash == before["data_hash"]


def test_a_search_does_not_go_on_with_a_source_that_changed_and_leaves_the_study_as_it_is(study, source):
    study.ask()
    study.conclude()
    study.close()
    save(source, X + 1, seconds=5)
    before = study.stored.folder.journal.read_bytes()
    with pytest.raises(DataError, match="trained on it: other values, in arrays of the same shapes"):
        run_search(study.config, study.stored.folder, resume=True)
    assert study.stored.folder.journal.read_bytes() == before


def test_a_source_that_was_written_anew_is_read_once(study, source):
    study.ask()
    save(source, seconds=5)
    (moved,) = unchanged_sources(study.stored.folder)
    study.keep_data(moved)
    assert unchanged_sources(study.stored.folder) == ()
    assert len(StoredStudy(study.stored.folder).folder.used) == 2
    assert opened(study).folder.name == study.stored.folder.used[0].key


def test_a_node_that_has_nothing_of_the_study_prepares_the_same_data_or_none(study, source, tmp_path):
    study.ask()
    far = ArtifactsPlace("s3://bucket/studies", S3Fields(cache_folder=str(tmp_path / "node")), "token")
    node = replace(study.stored.folder, artifacts=far)
    save(source, seconds=5)
    assert opened(study, node).manifest == opened(study).manifest
    assert opened(study, node).folder.is_relative_to(tmp_path / "node")
    other = replace(node, artifacts=replace(far, token="other"))
    save(source, X + 1, seconds=6)
    with pytest.raises(DataError, match="changed since trials of the study were trained on it: other content"):
        opened(study, other)


def test_a_search_over_data_does_not_mix_what_a_source_held(folder, make_config, source):
    data = {"kind": "npz", "path": str(source), "validation_share": {"search": "choice", "options": [0.2, 0.4]}}
    study = create_study(folder, make_config(data=data))
    configs = {trial.config["data"]["validation_share"]: trial for trial in (study.ask() for _ in range(5))}
    first, second = (configs[share] for share in (0.2, 0.4))
    _described(first, study)
    save(source, X + 1, seconds=5)
    with pytest.raises(DataError, match="the source has changed"):
        _described(second, study)
    save(source, seconds=6)
    assert _described(second, study) == _described(first, study)
    study.close()


def test_a_study_of_an_older_version_goes_on_with_what_the_source_holds(folder, make_config, source):
    study = create_study(folder, make_config(data={"kind": "npz", "path": str(source)}))
    trial = study.ask()
    opened(study)  # as it was prepared then: nobody wrote down which it is
    study.close()
    save(source, X + 1, seconds=5)
    assert unchanged_sources(StoredStudy(folder).folder) == ()
    study = resume_study(folder)
    _described(trial, study)
    assert [each.key for each in study.stored.folder.used] == [opened(study).folder.name]
    study.close()
