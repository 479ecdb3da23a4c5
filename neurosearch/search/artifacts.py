"""Where what trials leave is kept, so that every node finds it: one seam over a folder that all see, and over S3.

Files have one name everywhere, their path below `StudyFolder.near`. In a shared folder a file that is written is kept;
elsewhere it is written near and then kept, and fetched before it is read.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from neurosearch.search.folders import StudyFolder

_NETWORK, _FOUND_OUT = "final.pt", ("test.json", "confusion*.json", "confusion*.csv")


class Artifacts(Protocol):
    """The files of one study."""

    @property
    def are_near(self) -> bool:
        """Whether all nodes see the folder itself, so that nothing has to be brought."""

    def check(self) -> None:
        """Sees that files can be kept, found and removed.

        Raises:
            StudyError: They cannot; says how to mend that.
        """

    def keep(self, path: Path) -> None:
        """Keeps a file that was written here, as it is now; kept again, it takes the place of the one before.

        Raises:
            StorageLost: It cannot be kept, and was tried for a while.
            OSError: There is no such file.
        """

    def fetch(self, path: Path) -> bool:
        """Sees that a file is here as it was last kept; tells whether it is here.

        A file that was never kept stays as it is. One that is damaged where it is kept is passed over with a warning.

        Raises:
            StorageLost: Nothing can be read, and was tried for a while.
            OSError: The file cannot be written here.
        """

    def kept(self, folder: Path) -> list[Path]:
        """Returns where the files that are kept below a folder are, or would be, here.

        Raises:
            StorageLost: Nothing can be read, and was tried for a while.
        """

    def remove(self, paths: Iterable[Path]) -> None:
        """Removes files, here and where they are kept; one that is not there does no harm.

        Raises:
            StorageLost: Nothing can be removed, and was tried for a while.
            OSError: A file cannot be removed here.
        """


def artifacts_of(folder: StudyFolder) -> Artifacts:
    """Returns where a study keeps what its trials leave."""
    if folder.artifacts is None:
        return FolderArtifacts()
    return _far(replace(folder, used=()))  # known by its place alone


def bring_network(folder: StudyFolder, training: Path) -> Path:
    """Sees that a training's final network is here, with what was found out about it; returns the training's folder.

    Raises:
        StorageLost: Nothing can be read, and was tried for a while.
    """
    artifacts = artifacts_of(folder)
    if not artifacts.are_near:
        for path in artifacts.kept(training):
            if any(map(path.match, (_NETWORK, *_FOUND_OUT))):
                artifacts.fetch(path)
    return training


def keep_found_out(folder: StudyFolder, training: Path) -> None:
    """Keeps what was found out about a final network: scores on the test part, which is read once, and confusions.

    Raises:
        StorageLost: It cannot be kept, and was tried for a while.
    """
    artifacts = artifacts_of(folder)
    for path in () if artifacts.are_near else (path for name in _FOUND_OUT for path in sorted(training.glob(name))):
        artifacts.keep(path)


@cache  # its client takes a while to be made
def _far(folder: StudyFolder) -> Artifacts:
    from neurosearch.search.far_artifacts import S3Artifacts

    assert folder.artifacts is not None
    return S3Artifacts(folder, folder.artifacts)


class FolderArtifacts:
    """A folder that every node sees; what is written is kept."""

    are_near = True

    def check(self) -> None:
        """Does nothing: the folder is looked at where it is made."""

    def keep(self, path: Path) -> None:
        """Sees that the file is there."""
        path.stat()

    def fetch(self, path: Path) -> bool:
        """Tells whether the file is there."""
        return path.is_file()

    def kept(self, folder: Path) -> list[Path]:
        """Returns the files below the folder."""
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def remove(self, paths: Iterable[Path]) -> None:
        """Removes the files."""
        for path in paths:
            path.unlink(missing_ok=True)
