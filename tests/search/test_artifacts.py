"""What trials leave is kept and found again: in a shared folder, and in a bucket of a real S3 server."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from neurosearch.data.s3 import S3Object
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.errors import StorageLost, StudyError
from neurosearch.search.far_artifacts import S3Artifacts
from neurosearch.search.folders import StudyFolder

MARK = f".sha256-{'0' * 64}"


class ArtifactsConformance:
    """What every kind of artifacts does; `folder` is the study's, `other` the same as another node sees it."""

    def test_a_file_that_is_kept_is_found_from_another_node(self, folder, other):
        path = written(folder.result(3), "done")
        artifacts_of(folder).keep(path)
        assert artifacts_of(other).fetch(other.result(3))
        assert other.result(3).read_text() == "done"

    def test_a_file_that_is_kept_again_is_found_as_it_was_last(self, folder, other):
        for text in ("first", "second", "first again"):
            artifacts_of(folder).keep(written(folder.result(3), text))
            assert artifacts_of(other).fetch(other.result(3))
            assert other.result(3).read_text() == text

    def test_what_nobody_kept_is_not_there(self, folder, other):
        assert not artifacts_of(other).fetch(other.result(3))
        assert artifacts_of(other).kept(other.trials) == []

    def test_kept_files_are_listed_below_a_folder(self, folder, other):
        names = ["checkpoint-000001.pt", "checkpoint-000002.pt"]
        for name in names:
            artifacts_of(folder).keep(written(folder.training(1, 0) / name, name))
        artifacts_of(folder).keep(written(folder.result(10), "another trial"))
        assert artifacts_of(other).kept(other.training(1, 0)) == [other.training(1, 0) / name for name in names]
        assert len(artifacts_of(other).kept(other.trials)) == len(artifacts_of(other).kept(other.near)) == 3

    def test_what_is_removed_is_gone_everywhere_and_may_be_removed_again(self, folder, other):
        paths = [written(folder.training(1, 0) / name, name) for name in ("a", "b")]
        stays = written(folder.training(1, 0) / "c", "c")
        for path in (*paths, stays):
            artifacts_of(folder).keep(path)
        for _ in range(2):
            artifacts_of(folder).remove(paths)
        assert artifacts_of(other).kept(other.trial(1)) == [other.training(1, 0) / "c"]
        assert not any(path.exists() for path in paths)

    def test_a_file_that_is_not_there_cannot_be_kept(self, folder, other):
        with pytest.raises(FileNotFoundError):
            artifacts_of(folder).keep(folder.result(3))

    def test_the_place_can_be_used(self, folder, other):
        artifacts_of(folder).check()
        assert artifacts_of(other).kept(other.near) == []


class TestFolderArtifacts(ArtifactsConformance):
    @pytest.fixture
    def folder(self, tmp_path):
        return StudyFolder(tmp_path, "moons")

    @pytest.fixture
    def other(self, folder):
        return folder


@pytest.mark.servers
class TestS3Artifacts(ArtifactsConformance):
    @pytest.fixture
    def folder(self, far_folder):
        return far_folder()

    @pytest.fixture
    def other(self, far_folder):
        return far_folder("two")

    def test_a_large_file_goes_up_in_parts_and_comes_as_it_was(self, folder, other, monkeypatch):
        monkeypatch.setattr("neurosearch.data.s3_writing._PART_BYTES", 5 << 20)
        content = bytes(range(256)) * (12 << 12)  # 12 MiB
        path = folder.result(1)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        artifacts_of(folder).keep(path)
        assert artifacts_of(other).fetch(other.result(1))
        assert other.result(1).read_bytes() == content

    def test_a_file_that_is_here_as_it_was_kept_is_not_fetched_again(self, folder, far_folder, s3_proxy):
        artifacts_of(folder).keep(written(folder.result(1), "x" * 200_000))
        assert artifacts_of(far_folder(endpoint=s3_proxy.endpoint)).fetch(folder.result(1))
        assert s3_proxy.num_bytes < 100_000

    def test_a_damaged_object_is_passed_over_for_the_one_before(self, folder, other, bucket):
        artifacts_of(folder).keep(written(folder.result(1), "whole"))
        artifacts_of(folder).keep(written(folder.result(1), "spoilt"))
        (damaged,) = (path for path in bucket.rglob("*") if path.is_file() and path.read_text() == "spoilt")
        damaged.write_text("spoil")
        with pytest.warns(UserWarning, match="is damaged"):
            assert artifacts_of(other).fetch(other.result(1))
        assert other.result(1).read_text() == "whole"

    @pytest.mark.parametrize(
        "name",
        [
            f"../../../escaped{MARK}",
            f"trials/../../../../escaped{MARK}",
            f"trials/./00001/escaped{MARK}",
            f"/escaped{MARK}",
            f"trials//escaped{MARK}",
            f"..{MARK}",
            "trials/00001/escaped.sha256-../../../escaped",
        ],
    )
    def test_an_object_whose_name_leads_elsewhere_is_not_listed_fetched_or_removed(self, folder, name, monkeypatch):
        artifacts_of(folder).keep(written(folder.result(1), "mine"))
        artifacts = S3Artifacts(folder, folder.artifacts)
        key = artifacts._prefix + name
        planted = S3Object(artifacts._bucket, key, "tag", 7)
        listed = artifacts._store.listed
        monkeypatch.setattr(artifacts._store, "listed", lambda *words, **more: {**listed(*words, **more), key: planted})
        with pytest.warns(UserWarning, match="this object's name leads out of the study's folder"):
            assert artifacts.kept(folder.near) == [folder.result(1)]
        with pytest.warns(UserWarning, match="leads out of the study's folder"):
            assert not artifacts.fetch(folder.result(2))
        assert not list(folder.near.parents[2].rglob("*escaped*"))

    def test_a_link_in_the_cache_does_not_lead_an_object_out_of_it(self, folder, tmp_path):
        artifacts_of(folder).keep(written(folder.result(1), "mine"))
        (tmp_path / "elsewhere").mkdir()
        shutil.rmtree(folder.trials)
        folder.trials.symlink_to(tmp_path / "elsewhere")
        with pytest.warns(UserWarning, match="leads out of the study's folder"):
            assert not artifacts_of(folder).fetch(folder.result(1))
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_what_did_not_get_through_may_be_kept_later(self, far_folder, other, s3_proxy, bucket):
        folder = far_folder(endpoint=s3_proxy.endpoint)
        s3_proxy.cut_after = 0
        artifacts = S3Artifacts(folder, folder.artifacts)
        artifacts.patience_seconds = 0.3
        with pytest.raises(StorageLost, match="neurosearch resume moons"):
            artifacts.keep(written(folder.result(1), "x"))
        s3_proxy.cut_after = None
        artifacts.keep(folder.result(1))
        assert artifacts_of(other).fetch(other.result(1))

    def test_a_server_that_comes_back_is_waited_for(self, far_folder, other, s3, bucket):
        folder = far_folder(tries=2)
        artifacts_of(folder).keep(written(folder.result(1), "before"))
        s3.stop()
        back = threading.Timer(1.0, s3.start)
        back.start()
        artifacts_of(folder).keep(written(folder.result(1), "after"))
        back.join()
        assert artifacts_of(other).fetch(other.result(1))
        assert other.result(1).read_text() == "after"

    def test_a_bucket_that_is_not_there_is_told_with_what_to_do(self, far_folder):
        folder = far_folder()
        gone = replace(folder, artifacts=replace(folder.artifacts, address="s3://not-there/x"))
        with pytest.raises(StudyError, match="there is no bucket not-there. Make it"):
            artifacts_of(gone).check()

    def test_no_keys_and_wrong_keys_are_told_with_what_to_do(self, far_folder, monkeypatch):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StudyError, match="secret key does not fit"):
            artifacts_of(far_folder("a")).check()
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(StudyError, match="Set AWS_ACCESS_KEY_ID"):
            artifacts_of(far_folder("b")).check()

    def test_a_server_that_is_not_there_is_told_at_once(self, far_folder):
        with pytest.raises(StudyError, match="Check storage.s3.endpoint and the network"):
            artifacts_of(far_folder(endpoint="http://127.0.0.1:1")).check()


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.servers
def test_a_study_of_the_same_name_does_not_meet_files_of_an_earlier_one(far_folder):
    one = far_folder()
    two = replace(one, artifacts=replace(one.artifacts, token="t1"))
    written(one.training(0, 0) / "checkpoint-000009.pt", "stale")
    assert not artifacts_of(two).fetch(two.training(0, 0) / "checkpoint-000009.pt")
    shutil.rmtree(one.near)
