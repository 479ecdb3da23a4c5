import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[.*\])?(?P<bounds>.*)")

# How packages without a licence expression spell the licence that they come with.
SPELLINGS = {
    "Apache 2.0": "Apache-2.0",
    "Apache": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD License": "BSD-3-Clause",  # of scipy, whose text it is
    "MIT": "MIT",
    "MIT License": "MIT",
}


def bounds(requirements):
    """Return {package: bounds} of the requirements, without the groups that they include."""
    matches = [REQUIREMENT.fullmatch(text) for text in requirements if isinstance(text, str)]
    return {match["name"]: match["bounds"] for match in matches}


def normal(package):
    """Return the name in the one spelling that package tools compare."""
    return re.sub(r"[._-]+", "-", package).lower()


def pins(file):
    """Return {normal package name: versions}; a package has several where they differ by Python version."""
    found = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text("utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


def rows():
    """Return {package: (versions, licence, reason)} as the page has them."""
    lines = (ROOT / "docs/dependencies.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in cells if row[0] != "package"}


def stated_licence(package):
    """Return the installed package's licence as an SPDX expression."""
    about = metadata.metadata(package)
    if about.get("License-Expression"):
        return about["License-Expression"]
    classifiers = [text.rsplit(" :: ", 1)[-1] for text in about.get_all("Classifier", []) if text.startswith("License")]
    words = [about.get("License", ""), *classifiers]
    return next(SPELLINGS[word] for word in words if word in SPELLINGS)


RUNTIME = bounds(PROJECT["project"]["dependencies"])
GROUPS = {name: bounds(group) for name, group in PROJECT["dependency-groups"].items()}
NAMED = RUNTIME | GROUPS["core"] | GROUPS["dev"] | GROUPS["image"]


def test_the_page_lists_exactly_the_packages_that_we_name():
    assert sorted(rows()) == sorted(NAMED | GROUPS["manifests"])


@pytest.mark.parametrize("package", sorted(NAMED))
def test_a_row_gives_the_pinned_versions_the_stated_licence_and_a_reason(package):
    versions, licence, reason = rows()[package]
    assert re.findall(r"\d+(?:\.\d+)+", versions.split(" from Python ")[0]) == pins("constraints.txt")[normal(package)]
    assert licence == stated_licence(package)
    assert reason


@pytest.mark.parametrize("package", sorted(GROUPS["manifests"]))
def test_a_row_of_what_is_only_run_gives_the_pinned_version_the_licence_and_a_reason(package):
    version, licence, reason = rows()[package]
    assert [version] == pins("constraints-manifests.txt")[normal(package)]
    assert licence
    assert reason


def test_the_core_group_repeats_the_bounds_of_the_package():
    shared = GROUPS["core"].keys() & RUNTIME.keys()
    assert shared
    assert {name: GROUPS["core"][name] for name in shared} == {name: RUNTIME[name] for name in shared}


@pytest.mark.parametrize("file", ["constraints-core.txt", "constraints-image.txt"])
def test_a_smaller_environment_has_the_versions_of_the_whole_one(file):
    part, whole = pins(file), pins("constraints.txt")
    assert part == {name: whole[name] for name in part}
    assert len(part) < len(whole)


def test_the_build_backend_is_pinned_too():
    backend = bounds(PROJECT["build-system"]["requires"])
    assert backend.items() <= GROUPS["dev"].items()
    assert backend.keys() <= pins("constraints.txt").keys()


@pytest.mark.parametrize("file", sorted(path.name for path in ROOT.glob("constraints*.txt")))
def test_the_header_of_a_pinned_file_is_the_command_that_make_runs(file):
    command = (ROOT / file).read_text("utf-8").splitlines()[1].removeprefix("#").strip()
    planned = subprocess.run(
        ["make", "--dry-run", "constraints"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert command in re.sub(r" +", " ", planned)
