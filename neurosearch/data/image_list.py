"""List files with "path label" on every line, as ImageNet-LT, Places-LT and iNaturalist are published."""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurosearch.data.listing import ImageFiles, ListedImages, Listing, hold_out
from neurosearch.data.problems import NAMED, DataError, Problem, listed


@dataclass(frozen=True)
class ListFile:
    """A list.

    Attributes:
        name: What it is called in messages.
        near: Returns its path on this machine, to which it is brought first if it is far.
    """

    name: str
    near: Callable[[], Path]


def read_lists(
    files: ImageFiles, train_list: ListFile, test_list: ListFile | None, num_classes: int | None, test_share: float
) -> Listing:
    """Return the images that the lists name; empty lines are passed over.

    Args:
        files: Where the images lie.
        train_list: List of the training part.
        test_list: List of the test part; None holds out `test_share` of every class of the training part.
        num_classes: C; None takes one more than the largest label of the training part.
        test_share: Used without a test list alone.

    Raises:
        DataError: With every wrong line of all lists, each with file and line: no label, a label that is no whole
            number or out of range, a path that a line before it named, a file that is not there. If none is there, the
            folder is wrong, and that is said instead; if no line of many can be read, the first is told.
    """
    files.check_root()
    problems: list[Problem] = []
    readers = [_ListReader(files, train_list, "data.train_list")]
    if test_list is not None:
        readers.append(_ListReader(files, test_list, "data.test_list"))
    seen: dict[str, str] = {}
    for reader in readers:
        reader.read(seen)
    known = num_classes or max(readers[0].labels, default=-1) + 1
    for reader in readers:
        reader.check(known)
        problems += [reader.wrong_root()] if reader.num_absent == len(reader.paths) > 0 else reader.problems()
    if not problems and num_classes is None:
        problems = readers[0].gaps()
    if problems:
        raise DataError(problems)
    train, *rest = (ListedImages(tuple(each.paths), np.array(each.labels, np.int64)) for each in readers)
    parts = (train, rest[0]) if rest else hold_out(train, test_share)
    return Listing(*parts, tuple(str(label) for label in range(known)), files)


class _ListReader:
    """One list: its lines, and what is wrong with them."""

    def __init__(self, files: ImageFiles, wanted: ListFile, field: str) -> None:
        self.paths: list[str] = []
        self.labels: list[int] = []
        self._files = files
        self._list = wanted
        self._path = wanted.name
        self._field = field
        self._lines: list[int] = []
        self._wrong: dict[int, str] = {}
        self.num_absent = 0

    def read(self, seen: dict[str, str]) -> None:
        """Take in every line; `seen` says where a path was named before."""
        try:
            text = self._list.near().read_text(encoding="utf-8-sig")  # editors put a mark before
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            problem = Problem(self._field, f'{self._path} cannot be read: {reason}. Give a text file of "path label".')
            raise DataError([problem]) from error
        # Not by splitlines, which ends lines at letters, too, that may stand in a path.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                self._take(number, line.strip(), seen)

    def gaps(self) -> list[Problem]:
        """Return that some number below the largest label is no label: one wrong label would make a million classes."""
        given = sorted({label for label in self.labels if label >= 0})
        if not given or len(given) == given[-1] + 1:
            return []
        largest = given[-1]
        text = (
            f"{self._path}:{self._lines[self.labels.index(largest)]}: the label {largest} is the largest, but of the "
            f"{largest + 1:,} classes from 0 to it only {len(given):,} have an image: {listed(list(map(str, given)))}. "
            "Mend that label, or number the classes from 0 without gaps."
        )
        return [Problem(self._field, text)]

    def check(self, num_classes: int) -> None:
        """Find labels out of range and files that are not there."""
        for number, path, label in zip(self._lines, self.paths, self.labels, strict=True):
            if not 0 <= label < num_classes:
                self._wrong[number] = f"the label {label} is outside 0..{num_classes - 1}"
            elif not self._files.is_there(path):
                self._wrong[number] = f"there is no file {path}"
                self.num_absent += 1

    def wrong_root(self) -> Problem:
        """Return that no line's file is there: one mistake, not as many as there are lines."""
        text = f"none of the {len(self.paths)} files that {self._path} names is there, not even {self.paths[0]}. "
        return Problem("data.path", text + "Give the folder that the paths in the list start from.")

    def problems(self) -> list[Problem]:
        """Return every wrong line, one to a line of the text."""
        if not self._wrong:
            return [] if self.paths else [Problem(self._field, f"{self._path} names no image. Give another list.")]
        lines = [f"{self._path}:{number}: {text}" for number, text in sorted(self._wrong.items())]
        if not self.paths and len(lines) > NAMED:  # one mistake, too, such as commas
            text = (
                f'none of the {len(lines):,} lines can be read. {lines[0]}. Every line says "path label", with a space '
                f"or a tab between, the path below {self._files.root}. Write the list so."
            )
            return [Problem(self._field, text)]
        text = f"{len(lines)} wrong lines:\n" + "\n".join(lines) + '\nEvery line says "path label", the path below '
        return [Problem(self._field, f"{text}{self._files.root}. Mend the list, or data.path.")]

    def _take(self, number: int, line: str, seen: dict[str, str]) -> None:
        path, *written = line.rsplit(maxsplit=1)  # a path may hold spaces
        if not written:
            self._wrong[number] = f'"{line}" has no label'
            return
        if not re.fullmatch(r"-?[0-9]{1,9}", written[0]):
            self._wrong[number] = f'the label "{written[0]}" is no whole number'
            return
        if path.startswith("/") or ".." in path.split("/"):
            self._wrong[number] = f"{path} is no path below the folder of the images"
            return
        place = f"{self._path}:{number}"
        if (first := seen.setdefault(posixpath.normpath(path), place)) != place:  # ./a.png is a.png
            self._wrong[number] = f"{path} stands already in {first}"
            return
        self.paths.append(self._files.place(path))
        self.labels.append(int(written[0]))
        self._lines.append(number)
