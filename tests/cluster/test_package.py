import hashlib
import re
import shutil

import pytest

from neurosearch.cluster import package as packages
from neurosearch.cluster.package import CONFIG, packed, place
from neurosearch.config.base import ConfigError
from neurosearch.config.load import load_study
from neurosearch.search.folders import StudyFolder

TEXT = """\
name: mine
data: {kind: npz, path: sets/mine.npz}
model: {kind: mlp, widths: [8], weights: {search: choice, options: [old.pt, /shared/other.pt]}}
training: {epochs: 1}
growth: {kind: static}
storage: {folder: FOLDER/runs}
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "mine.npz").write_bytes(b"arrays")
    (tmp_path / "old.pt").write_bytes(b"weights")
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT.replace("FOLDER", str(tmp_path)))
    return path


def digest(content):
    return hashlib.sha256(content).hexdigest()


def arrived(package, tmp_path):
    """The study as a head reads it, and its folder there, once the package has come."""
    folder = tmp_path / "arrived"
    folder.mkdir()
    package.write(folder)
    place(folder, StudyFolder.of(package.study.study))
    return load_study(folder / CONFIG)


def test_what_lies_beside_the_config_travels_and_what_the_cluster_has_does_not(config, tmp_path):
    (tmp_path / "other.pt").write_bytes(b"")
    config.write_text(config.read_text().replace("/shared", str(tmp_path)))
    package = packed(config, ())
    arrays, weights = digest(b"arrays")[:16], digest(b"weights")
    assert {place: file.name for place, file in package.files.items()} == {
        f"files/{arrays}/mine.npz": "mine.npz",
        f"files/{weights[:16]}/old.pt": "old.pt",
    }
    study = arrived(package, tmp_path)
    values = study.to_mapping()
    assert values["data"]["path"] == f"{tmp_path}/runs/mine/files/{arrays}/mine.npz"
    old, other = values["model"]["weights"]["options"]
    assert old == f"{tmp_path}/runs/mine/files/{weights[:16]}/old.pt#sha256={weights}"
    assert other == f"{tmp_path}/other.pt#sha256={digest(b'')}"
    assert (tmp_path / "runs/mine/files" / arrays / "mine.npz").read_bytes() == b"arrays"


def test_the_same_files_make_the_same_study_wherever_they_lie(config, tmp_path):
    config.write_text(
        config.read_text().replace(", weights: {search: choice, options: [old.pt, /shared/other.pt]}", "")
    )
    first = packed(config, ()).study
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "sets").mkdir()
    (tmp_path / "sets" / "mine.npz").rename(tmp_path / "moved" / "sets" / "mine.npz")
    again = packed(config.rename(tmp_path / "moved" / "mine.yaml"), ()).study
    assert again.fingerprint() == first.fingerprint()
    (tmp_path / "moved" / "sets" / "mine.npz").write_bytes(b"others")
    assert packed(tmp_path / "moved" / "mine.yaml", ()).study.fingerprint() != first.fingerprint()


def test_a_folder_travels_without_rubbish(config, tmp_path):
    photos = tmp_path / "photos"
    for name in ("cats/1.png", "cats/.DS_Store", ".git/HEAD", "dogs/__pycache__/x.pyc", "dogs/2.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_text(name)
    package = packed(config, ("data={kind: image_folder, path: photos}", "model.weights=null"))
    folder = tmp_path / "arrived"
    folder.mkdir()
    package.write(folder)
    (name,) = package.files
    assert sorted(str(path.relative_to(folder / name)) for path in folder.rglob("*.*") if path.name != CONFIG) == [
        "cats/1.png",
        "dogs/2.png",
    ]


@pytest.mark.parametrize("path", ["../photos/cats/..", "../photos"])
def test_a_folder_keeps_its_name_however_it_is_written(config, tmp_path, path):
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "a.png").write_bytes(b"a")
    beside = tmp_path / "configs" / "study.yaml"
    beside.parent.mkdir()
    beside.write_text(config.read_text())
    words = ("data={kind: image_folder, path: " + path + ", resize: [8, 8]}", "model.weights=null")
    (place,) = packed(beside, words).files
    assert re.fullmatch("files/[0-9a-f]{16}/photos", place)


def test_what_is_there_already_is_left_alone(config, tmp_path):
    package = packed(config, ("model.weights=null",))
    (name,) = package.files
    kept = tmp_path / "runs" / "mine" / name
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    arrived(package, tmp_path)
    assert kept.read_text() == "kept"


def test_who_submits_the_same_at_the_same_time_may_be_faster(config, tmp_path, monkeypatch):
    package = packed(config, ("model.weights=null",))
    (name,) = package.files
    kept = tmp_path / "runs" / "mine" / name
    copy = shutil.copytree

    def overtaken(*places):
        copy(*places)
        kept.parent.mkdir(parents=True)
        kept.write_text("kept")

    monkeypatch.setattr(packages.shutil, "copytree", overtaken)
    arrived(package, tmp_path)
    assert kept.read_text() == "kept"


def test_a_file_that_is_missing_and_one_that_is_too_large_are_told_with_their_lines(config, tmp_path, monkeypatch):
    (tmp_path / "old.pt").unlink()
    monkeypatch.setattr(packages, "_MOST_BYTES", 5)
    with pytest.raises(ConfigError) as refused:
        packed(config, ())
    large, missing = refused.value.problems
    assert (large.where, large.field) == (f"{config}:2", "data.path")
    assert "0 MiB would travel with" in large.text
    assert "Put it into S3, or into a folder that every node sees" in large.text
    assert (missing.where, missing.field) == (f"{config}:3", "model.weights.options[0]")
    assert "old.pt is not there" in missing.text


@pytest.mark.parametrize("storage", ["folder: runs", "folder: /shared, database: sqlite:///studies.db"])
def test_a_study_is_not_kept_where_a_job_works(config, storage):
    field = storage.rpartition(", ")[2].partition(":")[0]
    with pytest.raises(ConfigError, match=rf"storage.{field}: .* is relative, and a job's working directory goes away"):
        packed(config, (f"storage={{{storage}}}", "model.weights=null"))


def test_files_travel_where_the_nodes_share_no_folder_too(config, tmp_path):
    (tmp_path / "other.pt").write_bytes(b"")
    config.write_text(config.read_text().replace("/shared", str(tmp_path)))
    assert packed(config, ("storage.artifacts=s3://studies/team",)).files == packed(config, ()).files


def test_the_certificates_of_the_bucket_do_not_travel(config):
    there = ("storage.artifacts=s3://studies/team", "data.path=/sets/mine.npz", "model.weights=/shared/other.pt")
    with pytest.raises(ConfigError) as refused:
        packed(config, (*there, "storage.s3.ca_bundle=own.pem"))
    (problem,) = refused.value.problems
    assert problem.field == "storage.s3.ca_bundle"
    assert "'own.pem' is relative, and what travels is brought to the nodes from the very bucket" in problem.text
    assert "Put it into a folder that every node has, and write its absolute path" in problem.text
    study = packed(config, (*there, "storage.s3.ca_bundle=/etc/ssl/own.pem")).study.study
    assert study.storage.s3.ca_bundle == "/etc/ssl/own.pem"
