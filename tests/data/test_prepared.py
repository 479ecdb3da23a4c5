import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from neurosearch.data import writing
from neurosearch.data.arrays import RawArrays
from neurosearch.data.digits import DigitsSource
from neurosearch.data.long_tail import Imbalance
from neurosearch.data.prepared import open_prepared, prepare, prepared_key
from neurosearch.data.problems import DataError, Problem, ServerAway
from neurosearch.data.selection import PrepareSettings, select

SETTINGS = PrepareSettings(Imbalance("exponential", 4), 0.25, 0, (4, 6))


class CountingSource:
    """Small images that count in a file how often they were loaded."""

    def __init__(self, folder, seconds=0.0):
        self._log = folder / "loads"
        self._seconds = seconds

    def identity(self):
        return "counting"

    def load(self):
        with self._log.open("a") as file:
            file.write("x")
        time.sleep(self._seconds)
        generator = np.random.default_rng(0)
        x, y = generator.integers(0, 256, (60, 5, 7, 3), dtype=np.uint8), np.arange(60, dtype=np.int32) % 3
        return RawArrays(x[:45], y[:45], x[45:], y[45:], ("cat", "dog", "eel"), "HWC", 255.0)

    @property
    def num_loads(self):
        return len(self._log.read_text())


@pytest.fixture
def source(tmp_path):
    return CountingSource(tmp_path)


def test_prepared_parts_are_what_the_preprocessing_makes_of_the_raw_ones(tmp_path, source):
    prepared = prepare(SETTINGS, source, tmp_path / "data")
    raw, preprocess = source.load(), prepared.preprocess()
    selection = select(SETTINGS, raw)
    expected = preprocess(torch.from_numpy(raw.x_train[selection.train])).numpy()
    assert np.array_equal(prepared.train().x, expected)
    assert np.array_equal(prepared.train().y, raw.y_train[selection.train])
    assert np.array_equal(prepared.raw_validation().x, raw.x_train[selection.validation])
    assert np.array_equal(prepared.raw_validation().y, prepared.validation().y)
    assert np.array_equal(prepared.raw_test().x, raw.x_test)
    for normalised, stored in (
        (prepared.validation(), prepared.raw_validation()),
        (prepared.test(), prepared.raw_test()),
    ):
        assert np.array_equal(normalised.x, preprocess(torch.from_numpy(stored.x)).numpy())
        assert (normalised.x.dtype, normalised.y.dtype) == (np.float32, np.int64)


def test_the_training_part_alone_is_normalised_to_mean_0_and_deviation_1(tmp_path, source):
    x = prepare(SETTINGS, source, tmp_path / "data").train().x.astype(np.float64)
    assert x.mean((0, 2, 3)) == pytest.approx(0, abs=1e-6)
    assert x.std((0, 2, 3)) == pytest.approx(1, abs=1e-6)


def test_the_manifest_says_what_is_there(tmp_path, source):
    manifest = prepare(SETTINGS, source, tmp_path / "data").manifest
    assert manifest.train_counts == (11, 5, 2)
    assert manifest.validation_counts == (4, 2, 1)
    assert manifest.test_counts == (5, 5, 5)
    assert (manifest.class_names, manifest.num_classes) == (("cat", "dog", "eel"), 3)
    assert (manifest.layout, manifest.dtype, manifest.raw_shape) == ("HWC", "uint8", (5, 7, 3))
    assert (manifest.input_shape, manifest.resize) == ((3, 4, 6), (4, 6))
    assert len(manifest.mean) == len(manifest.std) == 3
    assert manifest.data_hash == writing.data_hash(source.load())


def test_the_second_call_changes_and_loads_nothing(tmp_path, source):
    first = prepare(SETTINGS, source, tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert prepare(SETTINGS, source, tmp_path / "data") == first
    assert before == {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert source.num_loads == 1


def test_other_settings_and_sources_get_folders_of_their_own(source):
    keys = {
        prepared_key(settings, each)
        for settings in (SETTINGS, replace(SETTINGS, split_seed=1), replace(SETTINGS, imbalance=None))
        for each in (source, DigitsSource())
    }
    assert len(keys) == 6


def prepare_elsewhere(folder):
    torch.set_num_threads(1)
    prepare(SETTINGS, CountingSource(folder, seconds=0.3), folder / "data")


def test_of_several_processes_one_writes_and_all_can_read(tmp_path):
    context = get_context("spawn")
    processes = [context.Process(target=prepare_elsewhere, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert CountingSource(tmp_path).num_loads == 1


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path, source, monkeypatch):
    def fill_disk(_file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fill_disk)
        with pytest.raises(OSError, match="No space left"):
            prepare(SETTINGS, source, tmp_path / "data")
    assert [path.suffix for path in (tmp_path / "data").iterdir()] == [".lock"]
    assert prepare(SETTINGS, source, tmp_path / "data").manifest.train_counts == (11, 5, 2)


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from neurosearch.data import prepared, writing
from neurosearch.data.digits import DigitsSource
from neurosearch.data.selection import PrepareSettings
writing.data_hash = lambda raw: os.kill(os.getpid(), signal.SIGKILL)  # with all arrays written
prepared.prepare(PrepareSettings(None, 0.2, 0, None), DigitsSource(), Path(sys.argv[1]))
"""


def test_a_killed_writer_leaves_no_folder_under_the_final_name_and_no_lock_that_holds(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    settings = PrepareSettings(None, 0.2, 0, None)
    assert not (tmp_path / prepared_key(settings, DigitsSource())).exists()
    assert len(prepare(settings, DigitsSource(), tmp_path).test().y) == 539
    assert [path.name for path in tmp_path.glob(".*")] == []  # what was written until then has gone


def test_nobody_can_change_what_the_others_see(tmp_path, source):
    prepared = prepare(SETTINGS, source, tmp_path / "data")
    prepared.train().x[:] = 7
    assert not (prepared.train().x == 7).any()


@pytest.mark.filterwarnings("error")
def test_torch_takes_the_arrays_without_a_warning(tmp_path, source):
    part = prepare(SETTINGS, source, tmp_path / "data").train()
    assert torch.from_numpy(part.x).shape == (18, 3, 4, 6)


@pytest.mark.parametrize("name", ["train_x.npy", "validation_raw.npy"])
def test_a_damaged_folder_is_refused_by_name(tmp_path, source, name):
    path = prepare(SETTINGS, source, tmp_path / "data").folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"damaged: {name.removesuffix('.npy')} missing or cut off"):
        open_prepared(path.parent)


def test_another_format_version_is_refused(tmp_path, source):
    folder = prepare(SETTINGS, source, tmp_path / "data").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(DataError, match="format version 99, but this neurosearch reads version 1"):
        open_prepared(folder)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(DataError, match="manifest"):
        open_prepared(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, source):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made: Not a directory") as caught:
        prepare(SETTINGS, source, tmp_path / "file" / "data")
    assert caught.value.problems[0].field == "storage.folder"


def test_a_folder_that_cannot_be_written_is_named(tmp_path, source, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write anywhere, so permissions do not do
    with pytest.raises(DataError, match=r"cannot be written\. Give a folder"):
        prepare(SETTINGS, source, tmp_path / "data")


def test_the_data_hash_follows_the_content_alone(source):
    raw = source.load()
    changed = raw.x_test.copy()
    changed[0, 0, 0, 0] ^= 1
    assert writing.data_hash(raw) == writing.data_hash(replace(raw, y_train=raw.y_train.astype(np.uint8)))
    assert writing.data_hash(raw) != writing.data_hash(replace(raw, x_test=changed))
    assert writing.data_hash(raw) != writing.data_hash(replace(raw, class_names=("a", "b", "c")))


def test_chunks_make_no_difference(tmp_path, source, monkeypatch):
    whole = prepare(SETTINGS, source, tmp_path / "whole")
    monkeypatch.setattr(writing, "_CHUNK_VALUES", 400)
    pieces = prepare(SETTINGS, source, tmp_path / "pieces")
    assert pieces.manifest.data_hash == whole.manifest.data_hash
    np.testing.assert_allclose(pieces.train().x, whole.train().x, atol=1e-6)
    assert np.array_equal(pieces.raw_test().x, whole.raw_test().x)


def test_paths_are_kept_as_given(tmp_path, source):
    assert prepare(SETTINGS, source, tmp_path / "data").folder == Path(
        tmp_path / "data" / prepared_key(SETTINGS, source)
    )


class FarSource(CountingSource):
    """Decodes half of its images, and then its server goes away once."""

    def survey(self):
        return self.load()

    def stage(self, folder):
        folder.mkdir(exist_ok=True)
        if (folder / "half").exists():
            return self.load()
        (folder / "half").touch()
        raise ServerAway([Problem("data.path", "the server is away")])


def test_what_is_decoded_stays_while_a_server_is_away(tmp_path):
    source = FarSource(tmp_path)
    with pytest.raises(ServerAway):
        prepare(SETTINGS, source, tmp_path / "data")
    assert prepare(SETTINGS, source, tmp_path / "data").manifest.train_counts == (11, 5, 2)
