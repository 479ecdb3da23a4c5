"""Which image files make up a data set, and which class each belongs to; no pixel is read here."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from neurosearch.data.problems import DataError, Problem
from neurosearch.data.split import stratified_split

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})
_TEST_SEED = 0  # fixed: the test part must be the same in every study, whatever the study's seed


class ImageFiles(Protocol):
    """Where images lie.

    Attributes:
        are_near: Whether they are on a disk of this machine and cost nothing to look at.
    """

    are_near: bool

    @property
    def root(self) -> object:
        """What the names in lists start from."""

    def check_root(self) -> None:
        """Refuse a root that is not there.

        Raises:
            DataError: It is not there.
        """

    def place(self, name: str) -> str:
        """Return the place of an image from its name in a list."""

    def is_there(self, place: str) -> bool:
        """Return whether an image is where it should be."""

    def stamps(self, places: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Yield for every image what changes when its content does."""

    def near(self, places: Sequence[str]) -> Sequence[str]:
        """Return the paths of the images on this machine, to which they are brought first if they are far.

        Raises:
            DataError: If one cannot be brought.
        """


class DiskImages:
    """Images below a folder of this machine.

    Args:
        root: The folder.
    """

    are_near = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_root(self) -> None:
        """Refuse a folder that is not there."""
        if not self.root.is_dir():
            text = f"{self.root} is no folder. Give the one that the paths in the lists start from."
            raise DataError([Problem("data.path", text)])

    def place(self, name: str) -> str:
        """Return the path of a named image."""
        return os.path.join(self.root, name)  # noqa: PTH118 (a million of them)

    def is_there(self, place: str) -> bool:
        """Return whether there is such a file."""
        return os.path.isfile(place)  # noqa: PTH113 (a million of them)

    def stamps(self, places: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Yield size and time of change of every file; of a link that leads nowhere, its own.

        Raises:
            OSError: If a file is gone.
        """
        with ThreadPoolExecutor() as pool:  # what takes long is to wait for the disk
            for stat in pool.map(_stat, places, chunksize=64):
                yield stat.st_size, stat.st_mtime_ns

    def near(self, places: Sequence[str]) -> Sequence[str]:
        """Return the paths as they are."""
        return places


@dataclass(frozen=True)
class ListedImages:
    """The files of one part.

    Attributes:
        paths: Where each image lies.
        labels: (num_images,), values 0..C-1.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        train: What is trained and validated on.
        test: What is read once, at the end.
        class_names: C names in label order.
        files: Brings the images to this machine.
        notes: What lies there and is not used, in words.
    """

    train: ListedImages
    test: ListedImages
    class_names: tuple[str, ...]
    files: ImageFiles
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Return all files, those of the training part first."""
        return self.train.paths + self.test.paths

    def digest(self) -> str:
        """Return the sha256 of every file's place, label, and what changes with its content.

        Raises:
            OSError: If a file is gone.
        """
        digest = hashlib.sha256(repr((self.class_names, len(self.train.paths))).encode())
        labels = np.concatenate([self.train.labels, self.test.labels]).tolist()
        for path, label, stamp in zip(self.paths, labels, self.files.stamps(self.paths), strict=True):
            digest.update(repr((path, label, *stamp)).encode())
        return digest.hexdigest()


def _stat(place: str) -> os.stat_result:
    try:
        return os.stat(place)  # noqa: PTH116 (a million of them)
    except OSError:
        return os.lstat(place)


def hold_out(images: ListedImages, test_share: float) -> tuple[ListedImages, ListedImages]:
    """Return a training and a test part: `test_share` of every class, the same in every study."""
    train, test = stratified_split(images.labels, test_share, _TEST_SEED)
    return _chosen(images, train), _chosen(images, test)


def _chosen(images: ListedImages, positions: npt.NDArray[np.int64]) -> ListedImages:
    return ListedImages(tuple(images.paths[position] for position in positions), images.labels[positions])
