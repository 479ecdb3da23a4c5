"""What travels with a job: the config, and the files beside it that it names.

A relative path in a config names a file here, which travels; any other names one that the cluster's nodes see. What
travelled is kept in the study's folder under a hash of its content, so that a study has the same config however often,
and to whichever head, it is submitted. How it gets to nodes that do not see that folder says `search.travelled`.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.base import Path as FieldPath
from neurosearch.config.database import SqliteAddress, database_address
from neurosearch.config.load import StudyConfig, load_study_for_elsewhere
from neurosearch.config.overrides import with_overrides
from neurosearch.config.weights import SUFFIXES, with_pin
from neurosearch.config.yaml_source import read_yaml, to_yaml
from neurosearch.search.folders import StudyFolder
from neurosearch.search.travelled import FILES

CONFIG = "study.yaml"
_ELSEWHERE = ("/", "~", "$")  # begins what names a file of the nodes
_MOST_BYTES = 90 * 2**20  # Ray's job server takes 100 MiB
_RUBBISH = frozenset({"__pycache__", "Thumbs.db", "desktop.ini"})  # beside all whose name begins with a dot


@dataclass(frozen=True)
class Package:
    """What travels.

    Attributes:
        study: The study, with its files named as the cluster will have them.
        files: Where each file or folder that travels lies here, by its place below the package's folder.
    """

    study: StudyConfig
    files: Mapping[str, Path]

    def write(self, folder: Path) -> None:
        """Writes the package into an empty folder."""
        (folder / CONFIG).write_text(to_yaml(self.study.to_mapping()), encoding="utf-8")
        for place, source in self.files.items():
            for file, name in _inside(source):
                target = folder / place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)


def packed(path: Path, overrides: tuple[str, ...]) -> Package:
    """Reads a config and finds what must travel with it.

    Raises:
        ConfigError: With everything that is wrong; a file that is not there or too large is named with its field.
    """
    files: dict[str, Path] = {}
    moved = partial(_moved, path.resolve().parent, _study_folder(path, overrides), files)
    study = load_study_for_elsewhere(path, overrides, moved)
    problems = tuple(_not_kept(study))
    if problems:
        raise ConfigError(problems)
    return Package(study, files)


def place(package: Path, study: StudyFolder) -> None:
    """Puts what travelled into the study's folder, where its config names it; what is there already stays."""
    for source in (package / FILES).glob("*"):
        target = study.path / FILES / source.name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".arriving-", dir=target.parent) as arriving:
            shutil.copytree(source, Path(arriving) / source.name)
            try:
                (Path(arriving) / source.name).rename(target)
            except OSError:  # another who submits the same was faster
                if not target.exists():
                    raise


def _study_folder(path: Path, overrides: tuple[str, ...]) -> str:
    """Returns the study's folder; what is wrong with it is told later."""
    values = with_overrides(read_yaml(path), overrides).values
    storage = values.get("storage")
    return f"{storage.get('folder') if isinstance(storage, dict) else None}/{values.get('name')}"


def _moved(beside: Path, kept_in: str, files: dict[str, Path], file: str, field: FieldPath) -> str:
    """Returns what a file that the config names is called on the cluster; one that travels is added to `files`."""
    if file.startswith(_ELSEWHERE):
        return file
    if field[0] == "storage":
        raise ValueError(
            f"{file!r} is relative, and what travels is brought to the nodes from the very bucket that it is needed "
            "for. Put it into a folder that every node has, and write its absolute path."
        )
    source = beside / file
    if not source.exists():
        raise ValueError(
            f"{source} is not there. A relative path names what lies beside the config and travels with it; write an "
            "absolute one for what every node of the cluster sees."
        )
    inside = tuple(_inside(source))
    num_bytes = sum(
        each.stat().st_size for each, _ in (*inside, *(pair for one in files.values() for pair in _inside(one)))
    )
    if num_bytes > _MOST_BYTES:
        raise ValueError(
            f"{num_bytes / 2**20:,.0f} MiB would travel with {source}, and at most {_MOST_BYTES / 2**20:.0f} MiB do. "
            "Put it into S3, or into a folder that every node sees, and write its absolute path."
        )
    digest = _digest(source, inside)
    where = f"{FILES}/{digest[:16]}/{Path(os.path.normpath(source)).name}"  # `..` is no name of a folder
    files[where] = source
    name = f"{kept_in}/{where}"
    return with_pin(name, digest) if field[0] == "model" and file.endswith(SUFFIXES) else name


def _inside(source: Path) -> Iterator[tuple[Path, str]]:
    """Yields the files of a file or folder, each with its name below it; rubbish is left out."""
    if source.is_file():
        yield source, ""
        return
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not _is_rubbish(name))
        for name in sorted(names):
            file = Path(folder) / name
            if not _is_rubbish(name) and file.is_file():
                yield file, file.relative_to(source).as_posix()


def _is_rubbish(name: str) -> bool:
    return name.startswith(".") or name in _RUBBISH


def _digest(source: Path, inside: tuple[tuple[Path, str], ...]) -> str:
    """Returns a hash of the content: of a file its own, of a folder one of all names and contents."""
    digests = []
    for file, name in inside:
        with file.open("rb") as opened:
            digests.append((name, hashlib.file_digest(opened, "sha256").hexdigest()))
    if source.is_file():
        return digests[0][1]
    return hashlib.sha256("\n".join(f"{digest} {name}" for name, digest in digests).encode()).hexdigest()


def _not_kept(study: StudyConfig) -> Iterator[Problem]:
    """Yields what would lie in a job's own folder, which goes away with it."""
    source, storage = study.template.source, study.study.storage
    if not Path(storage.folder).is_absolute():
        yield Problem(
            source.place(("storage", "folder")),
            "storage.folder",
            f"{storage.folder!r} is relative, and a job's working directory goes away with it. Write the absolute path "
            "of a folder that every node sees, such as --set storage.folder=/shared/runs.",
        )
    address = database_address(storage.database) if storage.database else None
    if isinstance(address, SqliteAddress) and not address.path.is_absolute():
        yield Problem(
            source.place(("storage", "database")),
            "storage.database",
            f"{storage.database} is relative, and a job's working directory goes away with it. Write "
            "sqlite:////FOLDER/FILE with an absolute path on the head's own disk, or use PostgreSQL.",
        )
