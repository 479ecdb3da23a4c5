import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.data.npz import NpzSource
from neurosearch.data.prepared import open_prepared, prepare
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings
from neurosearch.data.targets import TargetScaling, scaling_of

SETTINGS = PrepareSettings(None, 0.25, 0, None)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = np.stack([2000 + X[:, 0], 1e-3 * X[:, 1]], 1).astype(np.float64)


def source(folder, **changes):
    path = folder / "own.npz"
    np.savez(path, **{"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9], **changes})
    return NpzSource(path, "auto", None, "regression")


def problems(folder, **changes):
    with pytest.raises(DataError) as caught:
        prepare(SETTINGS, source(folder, **changes), folder / "prepared")
    return [problem.text for problem in caught.value.problems]


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 3), st.floats(-6, 6), st.floats(-3, 3))
@settings(deadline=None, max_examples=60)
def test_scaling_and_its_inversion_give_the_targets_back(seed, num_examples, num_targets, size, offset):
    generator = np.random.default_rng(seed)
    y = (generator.normal(size=(num_examples, num_targets)) + offset) * 10.0**size
    scaling = scaling_of(y, tuple(f"y{i}" for i in range(num_targets)))
    standardised = scaling.standardise(y)
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standardised.std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(standardised * np.array(scaling.std) + scaling.mean, y, rtol=1e-5, atol=1e-5 * 10**size)


def test_targets_are_prepared_in_deviations_of_the_training_part(tmp_path):
    names = np.array(["year", "length"])
    data = prepare(SETTINGS, source(tmp_path, target_names=names), tmp_path / "prepared")
    manifest = data.manifest
    assert (manifest.class_names, manifest.num_classes, manifest.num_outputs) == ((), 0, 2)
    assert manifest.targets.names == ("year", "length")
    assert (manifest.train_counts, manifest.validation_counts, manifest.test_counts) == ((30,), (10,), (9,))
    train = data.train().y
    assert (train.dtype, train.shape) == (np.float32, (30, 2))
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0), 1, rtol=1e-4)
    restored = data.postprocess()(torch.from_numpy(data.test().y)).numpy()
    np.testing.assert_allclose(restored, Y[:9], rtol=1e-6, atol=1e-7)
    assert open_prepared(data.folder).manifest == manifest


def test_a_lone_target_has_one_column_and_a_name(tmp_path):
    data = prepare(SETTINGS, source(tmp_path, y_train=Y[:, 0], y_test=Y[:9, 0]), tmp_path / "prepared")
    assert data.manifest.targets.names == ("y",)
    assert data.train().y.shape == (30, 1)


def test_whole_numbers_are_quantities_too(tmp_path):
    y = np.arange(40)
    data = prepare(SETTINGS, source(tmp_path, y_train=y, y_test=y[:9]), tmp_path / "prepared")
    assert data.train().y.dtype == np.float32


def test_other_targets_have_another_hash(tmp_path):
    hashes = set()
    for number, changes in enumerate([{}, {"y_test": Y[1:10]}, {"target_names": np.array(["a", "b"])}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        hashes.add(prepare(SETTINGS, source(folder, **changes), folder / "prepared").manifest.data_hash)
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"y_train": np.where(np.arange(80).reshape(40, 2) == 7, np.nan, Y)},
            "not finite, or beyond float32, in 1 of 40 rows, first in row 3",
        ),
        (
            {"y_test": np.full((9, 2), np.inf)},
            "y_test has targets that are not finite, or beyond float32, in 9",
        ),
        ({"x_test": X[:0], "y_test": Y[:0]}, "y_test is empty. Save at least one example in each part."),
        ({"y_train": Y * 1e38}, "not finite, or beyond float32, in 40 of 40 rows"),
        ({"y_train": (Y - 2000) * 1e-35}, "no spread in y0, y1"),
        ({"y_train": np.full((40, 2), 7.0)}, "no spread in y0, y1"),
        ({"y_train": np.stack([Y[:, 0], np.full(40, 3.0)], 1)}, "no spread in y1: the 30 training examples"),
        ({"y_train": 1e12 + Y}, "no spread in y0, y1"),
        ({"y_train": Y[:, 0]}, "y_train has targets of shape () and y_test of (2,)"),
        ({"y_train": Y[:30]}, "x_train has 40 images and y_train 30 labels"),
        ({"y_train": Y[:, :0], "y_test": Y[:9, :0]}, "y_train has shape (40, 0)"),
        ({"y_train": Y[:, :, None]}, "y_train has shape (40, 2, 1)"),
        ({"y_train": Y.astype(str), "y_test": Y[:9].astype(str)}, "but targets are real numbers"),
        ({"y_train": Y.astype(complex)}, "y_train holds complex128"),
        ({"target_names": np.array(["a"])}, "target_names has 1 names for targets of shape (40, 2)"),
        ({"target_names": np.array(["a", "a"])}, "one name twice"),
        ({"x_train": X[:3], "y_train": Y[:3]}, "there are 3 training examples, but splitting them takes 4"),
    ],
)
def test_bad_targets_are_refused_in_words(tmp_path, changes, told):
    assert any(told in text for text in problems(tmp_path, **changes))


def test_quantities_given_to_classification_name_the_remedy(tmp_path):
    source(tmp_path, y_train=Y[:, 0], y_test=Y[:9, 0])
    with pytest.raises(DataError) as caught:
        prepare(SETTINGS, NpzSource(tmp_path / "own.npz", "auto", None), tmp_path / "prepared")
    told = [problem.text for problem in caught.value.problems]
    assert [text.split()[0] for text in told] == ["y_train", "y_test"]
    assert all("If these are quantities and no classes, set data.task: regression." in text for text in told)


def test_a_folder_from_before_there_were_quantities_is_read(tmp_path):
    labels = np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x_train=X, y_train=labels, x_test=X, y_test=labels)
    data = prepare(SETTINGS, NpzSource(tmp_path / "own.npz", "auto", None), tmp_path / "prepared")
    path = data.folder / "manifest.json"
    stored = json.loads(path.read_text())
    assert stored.pop("targets") is None
    path.write_text(json.dumps(stored))
    assert open_prepared(data.folder).manifest == data.manifest


def test_a_scaling_is_a_plain_value():
    scaling = TargetScaling(("a",), (1.0,), (2.0,))
    assert replace(scaling, mean=(3.0,)).standardise(np.array([5.0])).tolist() == [[1.0]]
