"""What a network says about examples: classes with their probabilities, or quantities; for people, JSON and files.

Shape letters: N examples, C classes, T targets.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurosearch.export.errors import PredictError

Values = npt.NDArray[np.float32]
_SUFFIXES = (".csv", ".npz")


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about examples.

    Attributes:
        names: One for each example: a file's path below its folder, or the row of an array.
        class_names: C names in the order of the probabilities.
        probabilities: (N, C) float32, rows sum to 1.
        warnings: What is odd about the examples, in sentences for the user.
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: Values
    warnings: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the name of each example's most probable class."""
        return tuple(self.class_names[label] for label in self.probabilities.argmax(1))

    def facts(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        rows = zip(self.names, self.classes, self.probabilities.max(1).tolist(), strict=True)
        predictions = [{"name": name, "class": label, "probability": share} for name, label, share in rows]
        return {"class_names": list(self.class_names), "predictions": predictions}

    def lines(self, number: int) -> Iterator[str]:
        """Yield what is said of the first examples, for people."""
        rows = zip(self.names[:number], self.classes, self.probabilities.max(1), strict=False)
        return (f"{name}: {label} ({share:.3f})" for name, label, share in rows)

    def save(self, path: Path) -> None:
        """Write a `.csv` (name, class, probabilities) or an `.npz` (names, classes, class_names, probabilities).

        Raises:
            PredictError: As `check_place` says.
        """
        titles = ("name", "class", *(f"probability of {name}" for name in self.class_names))
        rows = zip(self.names, self.classes, self.probabilities, strict=True)
        texts = ([name, label, *(f"{value:.6g}" for value in row)] for name, label, row in rows)
        arrays = {
            "names": np.array(self.names),
            "classes": np.array(self.classes),
            "class_names": np.array(self.class_names),
            "probabilities": self.probabilities,
        }
        _save(path, titles, texts, arrays)


@dataclass(frozen=True)
class Quantities:
    """What a regression network says about examples, in the units of the targets that it was trained by.

    Attributes:
        names: As those of `Predictions`.
        target_names: T names in the order of the values.
        values: (N, T) float32.
        warnings: As those of `Predictions`.
    """

    names: tuple[str, ...]
    target_names: tuple[str, ...]
    values: Values
    warnings: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        rows = zip(self.names, self.values.tolist(), strict=True)
        predictions = [{"name": name, "values": dict(zip(self.target_names, row, strict=True))} for name, row in rows]
        return {"target_names": list(self.target_names), "predictions": predictions}

    def lines(self, number: int) -> Iterator[str]:
        """Yield what is said of the first examples, for people."""
        for name, row in zip(self.names[:number], self.values, strict=False):
            said = ", ".join(f"{target} {value:.6g}" for target, value in zip(self.target_names, row, strict=True))
            yield f"{name}: {said}"

    def save(self, path: Path) -> None:
        """Write a `.csv` (name, a column for each target) or an `.npz` (names, target_names, values).

        Raises:
            PredictError: As `check_place` says.
        """
        rows = zip(self.names, self.values, strict=True)
        texts = ([name, *(f"{value:.8g}" for value in row)] for name, row in rows)
        arrays = {
            "names": np.array(self.names),
            "target_names": np.array(self.target_names),
            "values": self.values,
        }
        _save(path, ("name", *self.target_names), texts, arrays)


Answers = Predictions | Quantities


def check_place(path: Path) -> None:
    """Refuse a file that predictions cannot be saved to; to be asked before they are made, which may take long.

    Raises:
        PredictError: If the name ends in neither `.csv` nor `.npz`, is that of a folder, its folder is not there, or it
            may not be written.
    """
    if not path.parent.is_dir():
        raise PredictError(f"there is no folder {path.parent} for {path.name}. Make it, or name another place.")
    if path.suffix not in _SUFFIXES:
        raise PredictError(f"{path} is neither .csv nor .npz. Give the output one of these endings.")
    if path.is_dir():
        raise PredictError(f"{path} is a folder. Name a file.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PredictError(f"{path} may not be written by this user. Name another place.")


def _save(
    path: Path, titles: Sequence[str], rows: Iterable[Sequence[str]], arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    check_place(path)
    if path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **arrays)
        return
    # A file's name may be no UTF-8; the table is all the same, with such bytes as \udcff.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(titles)
        writer.writerows(rows)
