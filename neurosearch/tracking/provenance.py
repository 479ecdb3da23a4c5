"""What a result depends on beside its config: the code's commit and the packages' versions."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from neurosearch.names import UNCOMMITTED_TAG, VERSIONS_TAG

#: MLflow's own name for it: its pages show it beside the run.
GIT_COMMIT_TAG = "mlflow.source.git.commit"

_PACKAGES = ("neurosearch", "torch", "numpy", "ray", "optuna", "mlflow")
_GIT_SECONDS = 5


def provenance_tags(folder: Path) -> dict[str, str]:
    """Returns tags of a run: its provenance, and by which MLflow's pages name its source."""
    return {"mlflow.source.name": "neurosearch", "mlflow.source.type": "LOCAL", **provenance(folder)}


@cache
def provenance(folder: Path) -> dict[str, str]:
    """Returns tags with the versions, and the commit of the repository that `folder` lies in, if it is one.

    Args:
        folder: Where the user's work lies; the working directory as a rule.
    """
    tags = {VERSIONS_TAG: ", ".join([f"python {platform.python_version()}", *_versions()])}
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        tags[GIT_COMMIT_TAG] = commit
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
        if changes is not None:
            tags[UNCOMMITTED_TAG] = str(bool(changes)).lower()
    return tags


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue  # run from a checkout that is not installed, or without an optional package
    return found


def _git(folder: Path, *words: str) -> str | None:
    """Returns what git says; None without git, without a repository, or when it takes too long."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
