"""What travelled to a cluster's head beside a config is found on nodes that do not see the head's disk."""

import json
import shutil

import numpy as np
import pytest

from neurosearch.config.trial import TrialConfig
from neurosearch.data.problems import DataError
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.travelled import bring_travelled, keep_travelled
from neurosearch.search.trial import trial_updates

pytestmark = pytest.mark.servers

DIGEST, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def head(far_folder):
    """The study as its head sees it: arrays and a folder of two files have travelled."""
    folder = far_folder("head")
    arrays, photos = folder.path / "files" / DIGEST, folder.path / "files" / OTHER / "photos"
    arrays.mkdir(parents=True)
    rng = np.random.default_rng(0)
    parts = {f"x_{part}": rng.normal(size=(40, 3)).astype(np.float32) for part in ("train", "test")}
    np.savez(arrays / "mine.npz", **parts, y_train=np.arange(40) % 2, y_test=np.arange(40) % 2)
    for name in ("a/1.png", "b/2.png"):
        (photos / name).parent.mkdir(parents=True)
        (photos / name).write_text(name)
    return folder


def config_of(kind, path):
    return TrialConfig.model_validate(
        {
            "data": {"kind": kind, "path": str(path)},
            "model": {"kind": "mlp", "widths": [4]},
            "training": {"epochs": 1, "batch_size": 8},
            "growth": {"kind": "static"},
        }
    )


def test_a_file_and_a_folder_are_brought_to_the_path_that_the_config_names(head, far_folder):
    keep_travelled(head)
    before = {path.relative_to(head.path): path.read_bytes() for path in head.path.rglob("*") if path.is_file()}
    kept = artifacts_of(head).kept(head.near)
    keep_travelled(head)
    assert artifacts_of(head).kept(head.near) == kept
    assert [path.name for path in kept] == [f"{DIGEST}.zip", f"{OTHER}.zip"]
    shutil.rmtree(head.path)  # so it is on a node that does not see the head's disk
    node = far_folder("node")
    bring_travelled(config_of("npz", node.path / "files" / DIGEST / "mine.npz"), node)
    assert not (node.path / "files" / OTHER).exists(), "what a trial does not name is not brought"
    bring_travelled(config_of("image_folder", node.path / "files" / OTHER / "photos"), node)
    assert {path.relative_to(node.path): path.read_bytes() for path in node.path.rglob("*") if path.is_file()} == before


def test_a_trial_trains_on_what_travelled_where_nothing_of_it_was(head, far_folder):
    keep_travelled(head)
    shutil.rmtree(head.path)
    node = far_folder("node")
    config = config_of("npz", node.path / "files" / DIGEST / "mine.npz")
    leased = LeasedTrial(0, "search", json.loads(config.model_dump_json()), (3,), ())
    *_, last = trial_updates(leased, node, "cpu")
    assert last.outcome is not None
    assert (last.outcome.state, last.outcome.reason) == ("finished", None)


def test_what_is_neither_here_nor_kept_is_told(far_folder):
    node = far_folder("node")
    config = config_of("npz", node.path / "files" / DIGEST / "mine.npz")
    with pytest.warns(UserWarning, match="is neither here nor kept. If it is needed, submit the config again"):
        bring_travelled(config, node)


def test_a_node_that_cannot_write_there_says_so(head, far_folder):
    keep_travelled(head)
    shutil.rmtree(head.path)
    node = far_folder("node")
    node.path.parent.mkdir(exist_ok=True)
    node.path.write_text("no folder")
    with pytest.raises(DataError, match="cannot be brought to this node: .* Name a storage.folder that every node"):
        bring_travelled(config_of("npz", node.path / "files" / DIGEST / "mine.npz"), node)


def test_where_all_nodes_see_the_folder_and_for_other_files_nothing_is_done(head, far_folder, tmp_path):
    near = StudyFolder(head.root, head.name)
    keep_travelled(near)
    bring_travelled(config_of("npz", near.path / "files" / OTHER / "absent.npz"), near)
    assert artifacts_of(head).kept(head.near) == []
    bring_travelled(config_of("npz", tmp_path / "elsewhere" / "files" / DIGEST / "mine.npz"), far_folder("node"))
