"""A study whose trials keep their files in a bucket: gone on with and exported from a machine with an empty disk."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosearch.cli.readiness import check_readiness
from neurosearch.config.base import ConfigError
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.seams import SilentListener, SilentTracker
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study, resume_study
from neurosearch.search.travelled import keep_travelled
from neurosearch.search.trial import open_training, trial_updates

pytestmark = pytest.mark.servers


@pytest.fixture
def on_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Goes to a machine of this name: its home is its own, and empty at first."""

    def go(name: str) -> None:
        home = tmp_path / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("HOME", str(home))

    return go


def searched(study: Any, updates: int = 10_000) -> None:
    """Runs the trials of a study here, or as many updates of them."""
    desk = Desk(study, SilentTracker(), SilentListener(), lambda trial: {}, tuple)
    while updates and (lease := desk.next_lease()) is not None:
        for update in trial_updates(lease.trials[0], lease.study, "cpu", open_training):
            updates -= 1
            if desk.take(update) or not updates:
                break


def test_a_study_goes_on_and_is_exported_where_nothing_of_it_was(
    tiny: Callable[..., Any],
    type_in: Callable[..., Any],
    bucket: Path,
    s3: Any,
    on_machine: Callable[[str], None],
    new_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    database = new_database()
    far = {"artifacts": f"s3://{bucket.name}/team", "s3": {"endpoint": s3.endpoint, "path_style": True}}
    search = {"trials": 3, "kept_trials": 1, "finalists": 0, "control": False}
    config = tiny(search=search, storage={"folder": str(tmp_path / "one"), "database": database, **far})
    on_machine("one")
    study = create_study(StudyFolder.of(config.study), config)
    searched(study, updates=4)  # a trial and its end, and an epoch of the next one
    study.close()
    shutil.rmtree(tmp_path / "homes")
    on_machine("two")
    study = resume_study(StoredStudy(StudyFolder(tmp_path / "two", "tiny", database)).folder)
    searched(study)
    study.close()
    stored = StoredStudy(StudyFolder(tmp_path / "two", "tiny", database))
    assert [trial.epochs for trial in stored.trials()] == [2, 2, 2]
    kept = [
        path.relative_to(stored.folder.trials).as_posix()
        for path in artifacts_of(stored.folder).kept(stored.folder.trials)
    ]
    best = stored.best()
    assert best is not None
    assert kept == sorted([*(f"{number:05d}/result.json" for number in range(3)), f"{best.number:05d}/seed-0/final.pt"])
    on_machine("three")
    typed = type_in("export", "tiny", "--database", database, "--folder", tmp_path / "three", "--json")
    assert typed.code == 0, typed.err
    assert (tmp_path / "three" / "tiny" / "export" / "network.onnx").exists()
    typed = type_in("status", "tiny", "--database", database, "--folder", tmp_path / "three", "--json")
    assert typed.facts["counts"]["finished"] + typed.facts["counts"]["infeasible"] == 3


def test_a_name_whose_files_are_in_the_bucket_is_not_taken(
    tiny: Callable[..., Any],
    type_in: Callable[..., Any],
    bucket: Path,
    s3: Any,
    on_machine: Callable[[str], None],
    tmp_path: Path,
) -> None:
    from neurosearch.search.errors import StudyError

    far = {"artifacts": f"s3://{bucket.name}", "s3": {"endpoint": s3.endpoint, "path_style": True}}
    config = tiny(storage={"folder": str(tmp_path / "one"), **far})
    on_machine("one")
    study = create_study(StudyFolder.of(config.study), config)
    searched(study, updates=2)
    study.close()
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(StudyError, match=f"s3://{bucket.name}/tiny holds trials of a study that"):
        create_study(StudyFolder.of(config.study), config)


def test_a_new_head_brings_what_travelled_to_the_one_before(
    tiny: Callable[..., Any], bucket: Path, s3: Any, on_machine: Callable[[str], None], tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "tiny" / "files" / "0123456789abcdef" / "mine.npz"
    far = {"artifacts": f"s3://{bucket.name}", "s3": {"endpoint": s3.endpoint, "path_style": True}}
    config = tiny(data={"kind": "npz", "path": str(path)}, storage={"folder": str(tmp_path / "runs"), **far})
    on_machine("one")
    with pytest.warns(UserWarning, match="is neither here nor kept"), pytest.raises(ConfigError, match=r"mine\.npz"):
        check_readiness(config, is_resumed=True)
    path.parent.mkdir(parents=True)
    x = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)
    np.savez(path, x_train=x, y_train=np.arange(80) % 2, x_test=x, y_test=np.arange(80) % 2)
    keep_travelled(StudyFolder.of(config.study))
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(tmp_path / "homes")
    check_readiness(config, is_resumed=True)
    assert path.is_file()
