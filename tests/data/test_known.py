"""Data that networks were trained on is found again whatever becomes of its source, and not taken for other data."""

import os
import shutil

import numpy as np
import pytest

from neurosearch.data.known import Known
from neurosearch.data.long_tail import Imbalance
from neurosearch.data.npz import NpzSource
from neurosearch.data.prepared import check_unchanged, prepare, prepared_key
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings

SETTINGS = PrepareSettings(None, 0.25, 0, None)
GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.normal(size=(60, 3)).astype("float32"), np.arange(60) % 3


def save(path, x=X, y=Y, num_train=40, names=("ant", "bee", "cat"), seconds=0):
    np.savez(
        path,
        x_train=x[:num_train],
        y_train=y[:num_train],
        x_test=x[num_train:],
        y_test=y[num_train:],
        class_names=names,
    )
    os.utime(path, (1_000_000 + seconds, 1_000_000 + seconds))
    return NpzSource(path, "auto", None)


@pytest.fixture
def trained(tmp_path):
    """A source, the data that was prepared of it, and what a study knows of that."""
    source = save(tmp_path / "own.npz")
    data = prepare(SETTINGS, source, tmp_path / "data")
    return source, data, Known((data.folder.name,), data.manifest.data_hash)


def test_it_is_opened_without_a_look_at_a_source_that_changed_or_is_gone(tmp_path, trained):
    _, data, known = trained
    source = save(tmp_path / "own.npz", x=X + 1, seconds=5)
    assert prepare(SETTINGS, source, tmp_path / "data", known) == data
    (tmp_path / "own.npz").unlink()
    assert prepare(SETTINGS, source, tmp_path / "data", known) == data
    assert [path for path in (tmp_path / "data").iterdir() if path.is_dir()] == [data.folder]


def test_elsewhere_it_is_prepared_from_a_source_of_the_same_content(tmp_path, trained):
    _, data, known = trained
    source = save(tmp_path / "moved.npz", seconds=9)
    elsewhere = prepare(SETTINGS, source, tmp_path / "node", known)
    assert elsewhere.manifest == data.manifest
    assert elsewhere.folder.name != data.folder.name


def test_elsewhere_a_source_of_other_content_is_refused_and_leaves_nothing(tmp_path, trained):
    _, _, known = trained
    source = save(tmp_path / "own.npz", x=X + 1, seconds=5)
    for folder in (tmp_path / "node", tmp_path / "again"):
        with pytest.raises(DataError, match="changed since trials of the study were trained on it: other content"):
            prepare(SETTINGS, source, folder, known)
        assert not [path for path in folder.iterdir() if path.is_dir()]
    prepare(SETTINGS, source, tmp_path / "node")  # by somebody who does not know
    with pytest.raises(DataError, match="other content"):
        prepare(SETTINGS, source, tmp_path / "node", known)


def test_an_unchanged_source_is_not_read(tmp_path, trained):
    source, data, known = trained
    assert check_unchanged(SETTINGS, source, Known(known.keys, "of nothing"), tmp_path / "data") == data.folder.name


def test_a_source_that_was_only_written_anew_is_the_same(tmp_path, trained):
    _, data, known = trained
    source = save(tmp_path / "own.npz", seconds=5)
    key = check_unchanged(SETTINGS, source, known, tmp_path / "data")
    assert key == prepared_key(SETTINGS, source) != data.folder.name
    assert [path for path in (tmp_path / "data").iterdir() if path.is_dir()] == [data.folder]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": X + 1}, "other values, in arrays of the same shapes"),
        ({"y": Y[::-1]}, "other values, in arrays of the same shapes"),
        ({"names": ("ant", "bee", "dog")}, "other names of classes"),
        ({"names": ("ant", "bee", "cat", "dog"), "y": np.arange(60) % 4}, "4 classes instead of 3"),
        ({"x": X[:, :2]}, r"examples of shape \(2,\) and type float32 instead of \(3,\) and float32"),
        ({"num_train": 42}, "42 examples to train by instead of 40, 18 examples to test by instead of 20"),
    ],
)
def test_it_says_how_a_source_has_changed_and_what_to_do(tmp_path, trained, changes, words):
    source = save(tmp_path / "own.npz", **changes, seconds=5)
    with pytest.raises(DataError, match=rf"{words}\. .* Restore the source .* another name"):
        check_unchanged(SETTINGS, source, trained[2], tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(DataError, match=r"trained on it: other content\. "):
        check_unchanged(SETTINGS, source, trained[2], tmp_path / "data")


def test_the_length_of_a_thinned_part_says_nothing(tmp_path):
    thinned = PrepareSettings(Imbalance("exponential", 2), 0.25, 0, None)
    data = prepare(thinned, save(tmp_path / "own.npz"), tmp_path / "data")
    known = Known((data.folder.name,), data.manifest.data_hash)
    source = save(tmp_path / "own.npz", x=X + 1, seconds=5)
    with pytest.raises(DataError, match="it: other values, in arrays of the same shapes"):
        check_unchanged(thinned, source, known, tmp_path / "data")
