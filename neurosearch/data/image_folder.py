"""A folder with one folder of images for each class, as torchvision's ImageFolder reads it."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurosearch.data.listing import SUFFIXES, DiskImages, ListedImages, Listing, hold_out
from neurosearch.data.problems import DataError, Problem, listed

_FIELD = "data.path"


def list_folder(root: Path, test_share: float) -> Listing:
    """Return the images of `root/CLASS/...`, or of `root/train/CLASS/...` and `root/test/CLASS/...` if these are there.

    Classes are numbered by name. Folders inside a class's folder belong to the class; hidden files, and files that are
    no images by their names, are passed over.

    Args:
        root: The folder.
        test_share: Share of every class that becomes the test part where there is no folder `test`.

    Raises:
        DataError: With everything wrong: no such folder, no classes, a class without images, a class that only the
            test folder has.
    """
    training = root / "train" if (root / "train").is_dir() else root
    testing = root / "test" if training != root and (root / "test").is_dir() else None
    class_names = tuple(_folders(training))
    if not class_names:
        text = f"{training} holds no folders, but there must be one with images for each class."
        raise DataError([Problem(_FIELD, text)])
    problems: list[Problem] = []
    train = _images(training, class_names, problems)
    if testing is not None and (unknown := sorted(set(_folders(testing)) - set(class_names))):
        text = f"{testing} has the classes {listed(unknown)}, which {training} lacks. Remove or rename them."
        problems.append(Problem(_FIELD, text))
    test = None if testing is None else _images(testing, class_names, problems)
    if problems:
        raise DataError(problems)
    parts = hold_out(train, test_share) if test is None else (train, test)
    return Listing(*parts, class_names, DiskImages(root))


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        text = f"{root} cannot be read: {error.strerror}. Give the path of a folder with one folder for each class."
        raise DataError([Problem(_FIELD, text)]) from error


def _images(root: Path, class_names: tuple[str, ...], problems: list[Problem]) -> ListedImages:
    found = [sorted(_below(root / name)) for name in class_names]
    if empty := [name for name, paths in zip(class_names, found, strict=True) if not paths]:
        text = f"{root} has no image ({', '.join(sorted(SUFFIXES))}) of {listed(empty)}. Add some, or remove the class."
        problems.append(Problem(_FIELD, text))
    labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])
    return ListedImages(tuple(path for paths in found for path in paths), labels)


def _below(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 (a million)
                yield f"{place}{os.sep}{name}"
