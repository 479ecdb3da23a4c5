import os
import warnings
from pathlib import Path

import pytest
import torch

from neurosearch.training.checkpoint import (
    DamagedCheckpointError,
    FolderCheckpointStore,
    MemoryCheckpointStore,
    decode,
    encode,
)


def payload(number):
    return {
        "format": 1,
        "number": number,
        "weights": {"a": torch.arange(4, dtype=torch.float64) / 3 + number},
        "nested": [{"name": "x", "values": (1, 2.5, None, True)}],
    }


def assert_equal(found, number):
    expected = payload(number)
    assert torch.equal(found.pop("weights")["a"], expected.pop("weights")["a"])
    assert found == expected


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return FolderCheckpointStore(tmp_path / "trial") if request.param == "folder" else MemoryCheckpointStore()


class TestEveryStore:
    def test_is_empty_at_first(self, store):
        assert store.load_newest() is None

    def test_gives_back_what_was_saved(self, store):
        store.save(3, payload(3))
        assert_equal(store.load_newest(), 3)

    def test_gives_the_newest_epoch(self, store):
        for epoch in (1, 2, 10, 9):
            store.save(epoch, payload(epoch))
        assert_equal(store.load_newest(), 10)

    def test_replaces_an_epoch_saved_again(self, store):
        store.save(1, payload(1))
        store.save(1, payload(7))
        assert_equal(store.load_newest(), 7)

    def test_keeps_a_copy(self, store):
        state = payload(1)
        store.save(1, state)
        state["weights"]["a"].zero_()
        assert_equal(store.load_newest(), 1)


def test_the_last_two_are_kept(tmp_path):
    store = FolderCheckpointStore(tmp_path)
    for epoch in range(1, 5):
        store.save(epoch, payload(epoch))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000003.pt", "checkpoint-000004.pt"]


def damage(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, at):
    store = FolderCheckpointStore(tmp_path)
    store.save(1, payload(1))
    store.save(2, payload(2))
    damage(tmp_path / "checkpoint-000002.pt", at)
    with pytest.warns(UserWarning, match=r"checkpoint-000002\.pt: this checkpoint is damaged"):
        found = store.load_newest()
    assert_equal(found, 1)


@pytest.mark.parametrize("length", [0, 10, 40, 200])
def test_a_cut_checkpoint_is_damaged(length):
    with pytest.raises(DamagedCheckpointError):
        decode(encode(payload(1))[:length])


def test_with_every_checkpoint_damaged_there_is_none(tmp_path):
    store = FolderCheckpointStore(tmp_path)
    store.save(1, payload(1))
    damage(tmp_path / "checkpoint-000001.pt", -1)
    with pytest.warns(UserWarning, match="damaged"):
        assert store.load_newest() is None


def test_an_object_is_never_unpickled():
    content = encode({"path": os.getcwd})
    with pytest.raises(DamagedCheckpointError, match="plain values"):
        decode(content)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_write_that_dies_leaves_the_states_before(tmp_path):
    store = FolderCheckpointStore(tmp_path)
    store.save(1, payload(1))
    (tmp_path / f"checkpoint-000002.pt.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        store.save(2, payload(2))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001.pt"]
    assert_equal(store.load_newest(), 1)


def test_a_left_over_temporary_file_is_not_a_checkpoint(tmp_path):
    store = FolderCheckpointStore(tmp_path)
    (tmp_path / "checkpoint-000005.pt.123.tmp").write_bytes(b"half")
    store.save(1, payload(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal(store.load_newest(), 1)
