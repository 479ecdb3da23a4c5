"""What travelled to a cluster's head beside a config, brought from there to nodes that do not see the head's disk.

It lies below the study's folder, each file or folder in one that is named by its content, and there the config names
it. With `storage.artifacts` the head keeps it in the bucket, too, and a node brings it to the very path that the config
names, on a disk of its own; what is there already has the same content and stays.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from neurosearch.config.files import with_files
from neurosearch.config.trial import TrialConfig
from neurosearch.data.problems import DataError, Problem
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.folders import StudyFolder

#: Folder of all that travelled, in the study's own.
FILES = "files"
_DIGEST = re.compile(r"[0-9a-f]{16}")


def keep_travelled(folder: StudyFolder) -> None:
    """Keeps what travelled for all nodes, unless it is kept; nothing where they see the study's folder.

    Raises:
        StorageLost: It cannot be kept, and was tried for a while.
    """
    artifacts = artifacts_of(folder)
    if artifacts.are_near:
        return
    known = artifacts.kept(folder.near / FILES)
    for source in sorted((folder.path / FILES).glob("*")):
        archive = _archive(folder, source.name)
        if archive in known or not _DIGEST.fullmatch(source.name):
            continue
        archive.parent.mkdir(parents=True, exist_ok=True)
        with ZipFile(archive, "w", strict_timestamps=False) as made:
            for file in sorted(path for path in source.rglob("*") if path.is_file()):
                made.write(file, file.relative_to(source.parent))
        artifacts.keep(archive)
        archive.unlink()


def bring_travelled(config: TrialConfig, folder: StudyFolder) -> None:
    """Sees that what travelled and a trial's config names is here.

    Raises:
        DataError: It cannot be written here.
        StorageLost: It cannot be brought, and was tried for a while.
    """
    if artifacts_of(folder).are_near:
        return
    for place in _places(config, folder.name):
        if not place.exists():
            _bring(place, folder)


def _bring(place: Path, folder: StudyFolder) -> None:
    archive = _archive(folder, place.name)
    if not artifacts_of(folder).fetch(archive):  # no error: what was prepared of it may be here
        warnings.warn(
            f"{place}, which travelled with the config, is neither here nor kept. If it is needed, submit the config "
            "again.",
            stacklevel=3,
        )
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".arriving-", dir=place.parent) as arriving:
            with ZipFile(archive) as kept:
                kept.extractall(arriving)
            (Path(arriving) / place.name).rename(place)
    except OSError as error:
        if not place.exists():  # else another process of this node was faster
            text = (
                f"{place}, which travelled with the config, cannot be brought to this node: {error.strerror}. Name a "
                "storage.folder that every node can write on a disk of its own."
            )
            raise DataError([Problem("storage.folder", text)]) from error


def _places(config: TrialConfig, study: str) -> Iterator[Path]:
    """Yields the folders that hold what travelled, of the files that a config names."""
    named: list[str] = []

    def note(file: str, _path: object) -> str:
        named.append(file)
        return file

    with_files(config.model_dump(mode="json"), note)
    for file in named:
        place = Path(file).parent
        if _DIGEST.fullmatch(place.name) and place.parts[-3:-1] == (study, FILES):
            yield place


def _archive(folder: StudyFolder, digest: str) -> Path:
    return folder.near / FILES / f"{digest}.zip"
