import importlib.util
import subprocess
from pathlib import Path

import pytest

# Forbidden words are put together from parts here, too: this file passes the check that it tests.
SLASH = "/"


@pytest.fixture(scope="module")
def check():
    """Load the script, which is in no package."""
    spec = importlib.util.spec_from_file_location("check_text", Path(__file__).parents[2] / ".ci/check_text.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def whats_found(check):
    forbidden = check.patterns(Path("/shelf/project"))
    return lambda text: [(number, what) for number, what, _ in check.findings(text, forbidden)]


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://" + "pypi" + ".org/simple",
        "https://files." + "pythonhosted" + ".org/packages/x.whl",
        "see DOWNLOAD.PYTORCH" + ".ORG/whl/cpu",
        "registry = https://registry.npmjs" + ".org/",
    ],
)
def test_a_registry_host_is_found(whats_found, text):
    assert whats_found(f"first line\n{text}\n") == [(2, "a package registry's host")]


@pytest.mark.parametrize(
    "text",
    [
        f"cd {SLASH}home/ann/neurosearch",
        f"path = '{SLASH}root/.cache'",
        f"data: {SLASH}Users/ann/data.npz",
        r"C:" + r"\Users\ann",
        "cd /shelf/project",
        "data: /shelf/data.npz",
        '"/shelf/project/runs"',
        "in /shelf.",
    ],
)
def test_a_path_of_one_machine_is_found(whats_found, text):
    assert whats_found(text) == [(1, "an absolute path of one machine")]


@pytest.mark.parametrize(
    "text",
    [
        "pip install --require-hashes -r constraints.txt",
        "https://arxiv.org/abs/2501.18012",
        "/tmp/study and /usr/bin/env and /dev/null",
        "docs/shelf/project and ./shelf/project and ~/shelf/project",
        "https://example.org/shelf/project",
        "/shelfful of books",
        "GET /api/home and pypi as a word",
    ],
)
def test_what_every_machine_has_is_let_through(whats_found, text):
    assert whats_found(text) == []


@pytest.mark.parametrize("root", ["/tmp/project", "/project"])
def test_a_folder_that_every_machine_has_is_not_searched_for_because_the_repository_lies_in_it(check, root):
    assert list(check.findings("/tmp/other and /usr/bin", check.patterns(Path(root)))) == []


def test_a_new_file_counts_and_an_ignored_one_does_not(check, tmp_path, capsys):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("mine.txt\n", "utf-8")
    (tmp_path / "mine.txt").write_text(f"{tmp_path}\n", "utf-8")
    assert check.main(tmp_path) == 0
    (tmp_path / "new.txt").write_text(f"fine\n{tmp_path}\n", "utf-8")
    assert check.main(tmp_path) == 1
    assert f"new.txt:2: an absolute path of one machine: {tmp_path}" in capsys.readouterr().out
