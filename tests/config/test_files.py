import json
import os
import re
from pathlib import Path

import pytest

from neurosearch.config.base import ConfigError
from neurosearch.config.files import ROOTS, outside
from neurosearch.config.load import load_study, study_from_mapping

TEXT = """\
name: mine
data: {kind: npz, path: DATA}
model: {kind: mlp, widths: [8]}
training: {epochs: 1}
growth: {kind: static}
storage: {folder: FOLDER}
"""


@pytest.fixture
def written(tmp_path):
    def write(data, folder):
        path = tmp_path / "mine.yaml"
        path.write_text(TEXT.replace("DATA", str(data)).replace("FOLDER", str(folder)))
        return path

    return write


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Two folders that configs may name."""
    found = tmp_path / "shared", tmp_path / "runs"
    for each in found:
        each.mkdir()
    monkeypatch.setenv(ROOTS, os.pathsep.join(map(str, found)))
    return found


def test_without_roots_every_file_may_be_named(monkeypatch, written):
    monkeypatch.delenv(ROOTS, raising=False)
    assert load_study(written("/etc/passwd", "/elsewhere"), ()).study.name == "mine"
    assert outside("/etc/passwd") is None


def test_within_the_roots_files_may_be_named(roots, written):
    shared, runs = roots
    assert load_study(written(shared / "sets" / "a.npz", runs), ()).study.name == "mine"
    assert load_study(written("shared/a.npz", runs), ()).study.name == "mine", "relative to the config"
    assert load_study(written("s3://bucket/a.npz", runs), ()).study.name == "mine", "no file"


@pytest.mark.parametrize("data", ["/etc/passwd", "shared/../other.npz", "~/a.npz", "other.npz"])
def test_outside_the_roots_a_file_is_refused_at_its_line(roots, written, data):
    path = written(data, roots[1])
    with pytest.raises(ConfigError) as refused:
        load_study(path, ())
    (problem,) = refused.value.problems
    assert (problem.where, problem.field) == (f"{path}:2", "data.path")
    assert f"{ROOTS} is {roots[0]}:{roots[1]}). Put it into one of them, or have that one added." in problem.text


def test_a_link_leads_where_it_leads(roots, written):
    (roots[0] / "link").symlink_to("/etc")
    with pytest.raises(ConfigError, match="lies outside the folders that a config may name"):
        load_study(written(roots[0] / "link" / "passwd", roots[1]), ())


def test_weights_outside_are_not_even_read(roots, written, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"secret")
    path = written("s3://bucket/a.npz", roots[1])
    path.write_text(path.read_text().replace("[8]}", "[8], weights: a.pt}"))
    with pytest.raises(ConfigError) as refused:
        load_study(path, ())
    assert [problem.field for problem in refused.value.problems] == ["model.weights"]
    assert "sha256" not in str(refused.value)


@pytest.mark.parametrize("storage", [{"folder": "/elsewhere"}, {"folder": "runs", "database": "sqlite:////etc/a.db"}])
def test_a_study_is_not_kept_outside(roots, storage, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    values = {
        "name": "mine",
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 1},
        "growth": {"kind": "static"},
    }
    assert study_from_mapping({**values, "storage": {"folder": "runs"}}, "stored").study.name == "mine"
    with pytest.raises(ConfigError, match=r"storage\.(folder|database): .* lies outside the folders"):
        study_from_mapping({**values, "storage": storage}, "stored")


@pytest.mark.parametrize(
    ("section", "values", "field"),
    [
        ("data", {"kind": "npz", "path": "ROOT/a://../../../etc/x.npz"}, "data.path"),
        ("data", {"kind": "npz", "path": "S3://../../../../../../etc/x.npz"}, "data.path"),
        ("data", {"kind": "npz", "path": "s3://a/b.npz", "s3": {"cache_folder": "/etc/x"}}, "data.s3.cache_folder"),
        ("tracking", {"uri": "sqlite:////etc/x.db"}, "tracking.uri"),
        ("tracking", {"uri": "sqlite+pysqlite:////etc/x.db?timeout=3"}, "tracking.uri"),
        ("tracking", {"uri": "sqlite:///file:/etc/%78.db?uri=true"}, "tracking.uri"),
        ("tracking", {"uri": "sqlite:///ROOT/../../x.db"}, "tracking.uri"),
        ("tracking", {"uri": "file:///etc/x"}, "tracking.uri"),
        ("tracking", {"uri": "file://ROOT/%2e%2e/x"}, "tracking.uri"),
        ("tracking", {"uri": "/etc/x"}, "tracking.uri"),
        ("storage", {"artifacts": "s3://abc", "s3": {"cache_folder": "/etc/x"}}, "storage.s3.cache_folder"),
        (
            "storage",
            {"artifacts": "s3://abc", "s3": {"cache_folder": "ROOT/$PWD/../../../x"}},
            "storage.s3.cache_folder",
        ),
        ("storage", {"artifacts": "s3://abc", "s3": {"ca_bundle": "/etc/ssl/x.pem"}}, "storage.s3.ca_bundle"),
        ("storage", {"folder": "ROOT/$PWD/../../../x"}, "storage.folder"),
        ("search", {"warm_start": {"study": "a", "folder": "/etc"}}, "search.warm_start.folder"),
        ("search", {"warm_start": {"study": "../../../etc"}}, "search.warm_start.study"),
    ],
)
def test_every_field_that_names_a_file_is_looked_at(roots, section, values, field):
    with pytest.raises(ConfigError, match=rf"{re.escape(field)}: .* lies outside the folders"):
        study_from_mapping(within(roots, section, values), "stored")


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("data", {"kind": "npz", "path": "s3://a-bucket/b.npz", "s3": {"cache_folder": "~/.cache/neurosearch/s3"}}),
        ("tracking", {"uri": "http://mlflow:5000"}),
        ("tracking", {"uri": "sqlite:///ROOT/mlflow.db"}),
        ("tracking", {"uri": "file://ROOT/mlruns"}),
        ("storage", {"artifacts": "s3://abc", "s3": {"cache_folder": "ROOT/cache", "ca_bundle": "ROOT/ca.pem"}}),
        ("search", {"warm_start": {"study": "a", "folder": "ROOT"}}),
    ],
)
def test_what_lies_within_the_roots_or_on_a_server_may_be_named(roots, section, values):
    assert study_from_mapping(within(roots, section, values), "stored").study.name == "mine"


def within(roots, section, values):
    """Return a whole study that is kept within the roots, with a section's values added."""
    text = json.dumps(values).replace("ROOT", str(roots[0]))
    whole = {
        "name": "mine",
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 1},
        "growth": {"kind": "static"},
        "storage": {"folder": str(roots[1])},
    }
    return {**whole, section: {**(whole[section] if section == "storage" else {}), **json.loads(text)}}


def test_what_search_nodes_choose_from_is_looked_at(roots, written):
    path = written("{search: choice, options: [shared/a.npz, /etc/passwd]}", roots[1])
    with pytest.raises(ConfigError, match=r"data\.path\.options\[1\]: /etc/passwd lies outside"):
        load_study(path, ())


def test_a_relative_root_is_that_of_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ROOTS, ".")
    assert outside(str(tmp_path / "a.npz")) is None
    assert outside(str(Path.home() / "a.npz")) is not None
