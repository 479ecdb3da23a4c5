"""A folder with one folder of images for each class, as torchvision's ImageFolder reads it."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from neurosearch.data.folder_parts import FIELD, find_parts, folders_of, images_below, images_right_in
from neurosearch.data.listing import SUFFIXES, DiskImages, ListedImages, Listing, hold_out
from neurosearch.data.problems import DataError, Problem, listed


def list_folder(root: Path, test_share: float) -> Listing:
    """Return the images of `root/CLASS/...`, or of `root/train/CLASS/...` and `root/test/CLASS/...` if these are there.

    Classes are numbered by name. Folders inside a class's folder belong to the class; hidden files and folders, and
    files that are no images by their names, are passed over. What several links lead to is read once.

    Args:
        root: The folder.
        test_share: Share of every class that becomes the test part where there is no folder `test`.

    Raises:
        DataError: With everything wrong: no such folder, no classes, a class without images, a class that only the
            test folder has, one folder under two names; or it cannot be told what is a class and what a part.
    """
    parts = find_parts(root)
    training, testing = parts.training, parts.test
    class_names = tuple(folders_of(training))
    if not class_names:
        text = f"{training} holds no folders, but there must be one with images for each class."
        raise DataError([Problem(FIELD, text)])
    tested = () if testing is None else tuple(folders_of(testing))
    once = _ReadOnce([root, training, *([] if testing is None else [testing])])
    problems = once.claim(
        [training / name for name in class_names] + [testing / name for name in tested if testing is not None]
    )
    if problems:
        raise DataError(problems)
    train = _images(training, class_names, once, problems)
    if unknown := sorted(set(tested) - set(class_names)):
        text = f"{testing} has the classes {listed(unknown)}, which {training} lacks. Remove or rename them."
        problems.append(Problem(FIELD, text))
    test = None if testing is None else _images(testing, class_names, once, problems)
    if problems:
        raise DataError(problems)
    sides = hold_out(train, test_share) if test is None else (train, test)
    return Listing(*sides, class_names, DiskImages(root), (*parts.notes, *_strays(root), *once.notes()))


def _strays(root: Path) -> Iterator[str]:
    """Yield that images lie beside the folders of classes or parts, where they are of no class."""
    if names := images_right_in(root):
        yield f"images right in {root} are in no class's folder, and are not used: {listed(names)}."


class _ReadOnce:
    """Which folders have been read, links followed: none twice, and none of another class or part.

    Args:
        never: Folders that are no class's.

    Attributes:
        others: How many files they hold that are no images by their names, by ending.
    """

    def __init__(self, never: Iterable[Path]) -> None:
        self._read = {os.path.realpath(folder): folder for folder in never}
        self._passed_over: list[str] = []
        self.others: Counter[str] = Counter()

    def claim(self, folders: Iterable[Path]) -> list[Problem]:
        """Take the folders of all classes, and return those that are one under two names."""
        problems = []
        for folder in folders:
            first = self._read.setdefault(os.path.realpath(folder), folder)
            if first != folder:
                text = f"{folder} is a link to {first}, so its images would count twice. Remove one of them."
                problems.append(Problem(FIELD, text))
        return problems

    def enter(self, folder: str) -> bool:
        """Return whether a folder below a class's is to be read; it is taken for read then."""
        if self._read.setdefault(os.path.realpath(folder), Path(folder)) == Path(folder):
            return True
        self._passed_over.append(folder)
        return False

    def notes(self) -> tuple[str, ...]:
        """Return in words what was passed over, and what is no image by its name."""
        notes = []
        if self._passed_over:
            folders = listed(sorted(self._passed_over))
            notes.append(f"links to folders that are read elsewhere are passed over: {folders}.")
        if self.others:
            counts = [f"{count:,} {ending or 'without ending'}" for ending, count in self.others.most_common()]
            notes.append(f"files that are no images by their names are not used: {listed(counts)}.")
        return tuple(notes)


def _images(root: Path, class_names: tuple[str, ...], once: _ReadOnce, problems: list[Problem]) -> ListedImages:
    found = [sorted(_of_class(root / name, once)) for name in class_names]
    if empty := [name for name, paths in zip(class_names, found, strict=True) if not paths]:
        text = f"{root} has no image ({', '.join(sorted(SUFFIXES))}) of {listed(empty)}. Add some, or remove the class."
        problems.append(Problem(FIELD, text))
    labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])
    return ListedImages(tuple(path for paths in found for path in paths), labels)


def _of_class(folder: Path, once: _ReadOnce) -> Iterable[str]:
    return images_below(folder, once.enter, once.others) if folder.is_dir() else ()
