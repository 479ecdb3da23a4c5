"""The raw arrays of a data set as a source hands them over, and everything that can be wrong with them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from neurosearch.data.problems import Problem, listed, name_class
from neurosearch.data.targets import check_targets

Layout = Literal["features", "HW", "HWC", "CHW"]
LAYOUTS: tuple[Layout, ...] = ("features", "HW", "HWC", "CHW")
RANKS: dict[str, int] = {"features": 2, "HW": 3, "HWC": 4, "CHW": 4}
_CHANNELS = (1, 3, 4)  # what a colour axis can hold
_CHUNK_VALUES = 1 << 24
_NUMBER_ANEW = (
    "Number them anew: names, y_train = numpy.unique(y_train, return_inverse=True), then y_test = "
    "numpy.searchsorted(names, y_test), and save names as class_names."
)
_OR_QUANTITIES = "If these are quantities and no classes, set data.task: regression."


@dataclass(frozen=True)
class RawArrays:
    """A data set as stored, before thinning, splitting and normalising.

    Attributes:
        x_train: (num_train, ...) uint8 or float32.
        y_train: (num_train,) integers 0..C-1; for quantities real numbers, (num_train,) or (num_train, T).
        x_test: As `x_train`, (num_test, ...).
        y_test: As `y_train`, (num_test,).
        class_names: C names in label order; none where quantities are learned.
        layout: What the axes after the first mean.
        scale: Divisor that brings the raw values to about 0..1, such as 255.
        target_names: T names of the quantities that are learned; none where classes are.
        broken: Files that could not be read and were left out.
        notes: What else lies there and is not used, in words.
        is_scaled: Whether inputs and quantities stand as a network is to read them, and are not standardised.
    """

    x_train: npt.NDArray[Any]
    y_train: npt.NDArray[Any]
    x_test: npt.NDArray[Any]
    y_test: npt.NDArray[Any]
    class_names: tuple[str, ...]
    layout: Layout
    scale: float
    target_names: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    is_scaled: bool = False
    notes: tuple[str, ...] = ()

    @property
    def num_outputs(self) -> int:
        """Return how many outputs a network has: C, or T."""
        return len(self.class_names) or len(self.target_names)

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """Return the group of each training example, (num_train,): its class, 0 for all where there are no classes."""
        if self.target_names:
            return np.zeros(len(self.y_train), dtype=np.int64)
        return self.y_train.astype(np.int64)


class ArraySource(Protocol):
    """Where a data set comes from."""

    def identity(self) -> str:
        """Return a cheap text that changes when the content may have changed, such as path, size and time of a file."""

    def load(self) -> RawArrays:
        """Return the arrays.

        Raises:
            DataError: If they cannot be read.
        """


@runtime_checkable
class LargeSource(ArraySource, Protocol):
    """A source whose arrays need not fit in memory: `load` is for small ones, and these two for all."""

    def survey(self) -> RawArrays:
        """Return what `load` would, cheaply: shapes, dtypes and labels hold, the values of x need not.

        Raises:
            DataError: If the data cannot be used, as far as that can be told without reading all of it.
        """

    def stage(self, folder: Path) -> RawArrays:
        """Return the arrays, x mapped from files that are written into a folder; the folder may be there already.

        Files that an earlier call with the same `identity` left there, whole or not, are gone on with.

        Raises:
            DataError: If the data cannot be used.
            OSError: If something cannot be read or written.
        """


def infer_layout(shape: tuple[int, ...]) -> Layout | None:
    """Return what the axes of an array of this shape mean, None where that cannot be told.

    Two axes are features, three are grey images; of four, the colour axis is the one with 1, 3 or 4 entries. When both
    candidates have such a length, or none has, only the user knows.
    """
    if len(shape) in (2, 3):
        return "features" if len(shape) == 2 else "HW"
    if len(shape) != 4 or (shape[1] in _CHANNELS) == (shape[3] in _CHANNELS):
        return None
    return "HWC" if shape[3] in _CHANNELS else "CHW"


def check_arrays(raw: RawArrays, field: str = "data.path") -> list[Problem]:
    """Return everything that is wrong with the arrays; an empty list says that they can be used."""
    texts = [
        *_check_inputs(raw),
        *_check_pairs("x_train", raw.x_train, "y_train", raw.y_train),
        *_check_pairs("x_test", raw.x_test, "y_test", raw.y_test),
        *_check_names("class_names", raw.class_names),
        *_check_names("target_names", raw.target_names),
        *(check_targets(raw.y_train, raw.y_test, raw.target_names) if raw.target_names else _check_labels(raw)),
    ]
    return [Problem(field, text) for text in texts]


def _check_inputs(raw: RawArrays) -> Iterator[str]:
    for name, x in (("x_train", raw.x_train), ("x_test", raw.x_test)):
        if x.dtype not in (np.uint8, np.float32):
            yield f"{name} holds {x.dtype}, but must hold uint8 or float32. Save it with .astype('float32')."
        elif x.dtype == np.float32:
            yield from _check_finite(name, x)
        if x.ndim != RANKS[raw.layout]:
            yield (
                f"{name} has shape {x.shape}, but layout {raw.layout} needs {RANKS[raw.layout]} axes, images first. "
                "Reshape it or name another layout."
            )
        elif 0 in x.shape[1:]:
            yield f"{name} has shape {x.shape}: an axis of length 0 holds nothing. Save the array again."
    if raw.x_train.shape[1:] != raw.x_test.shape[1:]:
        yield (
            f"x_train has images of shape {raw.x_train.shape[1:]} and x_test of {raw.x_test.shape[1:]}. "
            "Bring both to one shape."
        )
    if raw.x_train.dtype != raw.x_test.dtype:
        yield (
            f"x_train holds {raw.x_train.dtype} and x_test {raw.x_test.dtype}, so their values may differ in scale. "
            "Save both with one dtype."
        )


def _check_finite(name: str, x: npt.NDArray[Any]) -> Iterator[str]:
    bad, first = 0, -1
    for start, chunk in _chunks(x):
        finite = np.isfinite(chunk)
        if not finite.all():
            rows = np.flatnonzero(~finite.reshape(len(chunk), -1).all(axis=1))
            first = start + int(rows[0]) if first < 0 else first
            bad += len(rows)
    if bad:
        yield (
            f"{name} has values that are not finite in {bad} of {len(x)} rows, first in row {first}. "
            "Remove or fill those rows."
        )


def _chunks(x: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield (position, rows): a mapped array is looked at in pieces that fit in memory."""
    rows = max(1, _CHUNK_VALUES // max(1, int(np.prod(x.shape[1:]))))
    for start in range(0, len(x) if x.ndim else 0, rows):
        yield start, x[start : start + rows]


def _check_pairs(x_name: str, x: npt.NDArray[Any], y_name: str, y: npt.NDArray[Any]) -> Iterator[str]:
    if x.ndim and y.ndim and len(x) != len(y):
        yield f"{x_name} has {len(x)} images and {y_name} {len(y)} labels. Save one label per image."


def _check_kind(y_name: str, y: npt.NDArray[Any]) -> Iterator[str]:
    if y.ndim != 1:
        is_column = y.ndim == 2 and y.shape[1] == 1
        remedy = "Save it with .ravel()." if is_column else "Save class numbers, not one-hot rows."
        yield f"{y_name} has shape {y.shape}, but labels are one number an image. {remedy}"
    if not np.issubdtype(y.dtype, np.integer):
        yield f"{y_name} holds {y.dtype}, but labels are whole numbers. {_label_remedy(y)}"


def _label_remedy(y: npt.NDArray[Any]) -> str:
    if np.issubdtype(y.dtype, np.floating):
        return f"Save it with .astype('int64'). {_OR_QUANTITIES}"
    return "Save it with .astype('int64')." if y.dtype == np.bool_ else _NUMBER_ANEW


def numbered_classes(*labels: npt.NDArray[Any]) -> tuple[str, ...]:
    """Return the numbers 0..largest label as names; none where some of these numbers are no label.

    Such labels are ids and not numbers of classes, and one wrong label would make millions of classes.
    """
    distinct = _distinct(labels)
    num_classes = int(distinct[-1]) + 1 if len(distinct) else 0
    return tuple(map(str, range(num_classes))) if num_classes == np.count_nonzero(distinct >= 0) else ()


def _distinct(labels: Iterable[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    whole = [np.unique(y) for y in labels if np.issubdtype(y.dtype, np.integer)]
    return np.unique(np.concatenate(whole)) if whole else np.empty(0, np.int64)


def _check_names(what: str, names: Iterable[str]) -> Iterator[str]:
    """Yield that names do not fit into an exported file: it has a line for each name, in UTF-8."""
    names = tuple(names)
    broken = [repr(name) for name in names if not {"\n", "\r"}.isdisjoint(name)]
    if broken:
        yield f"{what} has line breaks in {listed(broken)}. Write each name in one line."
    undecoded = [repr(name) for name in names if any(_is_surrogate(letter) for letter in name)]
    if undecoded:
        yield (
            f"{what} has names that are no text in UTF-8: {listed(undecoded)}. Write them in UTF-8; where they are "
            "names of folders, rename these."
        )


def _is_surrogate(letter: str) -> bool:
    """Tell whether a letter stands for a byte that could not be decoded; no file in UTF-8 takes it."""
    return "\ud800" <= letter <= "\udfff"


def _check_labels(raw: RawArrays) -> Iterator[str]:
    no_labels = [*_check_kind("y_train", raw.y_train), *_check_kind("y_test", raw.y_test)]
    yield from no_labels
    names, num_classes = raw.class_names, len(raw.class_names)
    distinct = _distinct((raw.y_train, raw.y_test))
    if not names and not no_labels and len(distinct) and not numbered_classes(distinct):
        yield (
            f"the labels are {len(distinct):,} different numbers, {listed([str(label) for label in distinct])}, but "
            f"classes are numbered from 0 without gaps. {_NUMBER_ANEW} {_OR_QUANTITIES}"
        )
        return
    if num_classes < 2 and not no_labels:
        yield f"there is {num_classes} class, but telling classes apart needs at least 2."
    if len(set(names)) != num_classes:
        doubled = sorted(name for name, count in Counter(names).items() if count > 1)
        yield f"class_names names {listed(doubled)} more than once. Give every class its own name."
    for name, y in (("y_train", raw.y_train), ("y_test", raw.y_test)):
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            continue  # said above already
        outside = np.flatnonzero((y < 0) | (y >= num_classes))
        if len(outside):
            yield (
                f"{name} has {len(outside)} labels outside 0..{num_classes - 1}, first {y[outside[0]]} at position "
                f"{outside[0]}. Number the classes from 0, or complete class_names."
            )
        missing = sorted(set(range(num_classes)) - set(np.unique(y).tolist()))
        part = "training" if name == "y_train" else "test"
        if missing and num_classes > 1:
            without = listed([name_class(label, names) for label in missing])
            yield f"{name} has no {part} image of {without}. Add some, or leave the class out and number the rest anew."
