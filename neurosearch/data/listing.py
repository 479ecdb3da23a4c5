"""Which image files make up a data set, and which class each belongs to; no pixel is read here."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurosearch.data.split import stratified_split

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})
NAMED = 20  # problems of one sort that are listed one by one; more are counted
_TEST_SEED = 0  # fixed: the test part must be the same in every study, whatever the study's seed


@dataclass(frozen=True)
class ListedImages:
    """The files of one part.

    Attributes:
        paths: One for each image.
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
    """

    train: ListedImages
    test: ListedImages
    class_names: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return all files, those of the training part first."""
        return self.train.paths + self.test.paths

    def digest(self) -> str:
        """Return the sha256 of every file's path, size, time of change and label.

        Raises:
            OSError: If a file is gone.
        """
        digest = hashlib.sha256(repr((self.class_names, len(self.train.paths))).encode())
        labels = np.concatenate([self.train.labels, self.test.labels]).tolist()
        with ThreadPoolExecutor() as pool:  # what takes long is to wait for the disk
            stats = pool.map(os.stat, self.paths, chunksize=64)
            for path, label, stat in zip(self.paths, labels, stats, strict=True):
                digest.update(repr((path, label, stat.st_size, stat.st_mtime_ns)).encode())
        return digest.hexdigest()


def hold_out(images: ListedImages, test_share: float) -> tuple[ListedImages, ListedImages]:
    """Return a training and a test part: `test_share` of every class, the same in every study."""
    train, test = stratified_split(images.labels, test_share, _TEST_SEED)
    return _chosen(images, train), _chosen(images, test)


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _chosen(images: ListedImages, positions: npt.NDArray[np.int64]) -> ListedImages:
    return ListedImages(tuple(images.paths[position] for position in positions), images.labels[positions])
