import subprocess
from importlib.metadata import version

from neurosearch.names import UNCOMMITTED_TAG, VERSIONS_TAG
from neurosearch.tracking.provenance import GIT_COMMIT_TAG, provenance, provenance_tags


def git(folder, *words):
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@host"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_versions_are_told_without_a_repository(tmp_path):
    tags = provenance_tags(tmp_path)
    assert f"mlflow {version('mlflow')}" in tags[VERSIONS_TAG].split(", ")
    assert GIT_COMMIT_TAG not in tags


def test_the_commit_is_told_and_whether_files_differ_from_it(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "config.yaml").write_text("a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = provenance_tags(tmp_path)
    assert clean[GIT_COMMIT_TAG] == git(tmp_path, "rev-parse", "HEAD")
    assert clean[UNCOMMITTED_TAG] == "false"
    (tmp_path / "config.yaml").write_text("b")
    provenance.cache_clear()
    assert provenance_tags(tmp_path)[UNCOMMITTED_TAG] == "true"
