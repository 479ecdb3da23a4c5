"""A user's own numpy archive: keys x_train, y_train, x_test, y_test and, if there are names, class_names.

Where quantities are learned, y_train and y_test hold real numbers, (n,) or (n, T), and their names stand in
target_names.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neurosearch.data.arrays import LAYOUTS, RANKS, Layout, RawArrays, check_arrays, infer_layout, numbered_classes
from neurosearch.data.problems import DataError, Problem, listed
from neurosearch.data.targets import names_in, target_names

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_FIELD = "data.path"
_CHUNK_BYTES = 1 << 24
_LEAST_RANGE = 4e-6  # of a column, as a share of its largest value: some sixty steps of float32
# A member that is encrypted, or packed in a way that zipfile does not know, is a RuntimeError.
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)


class NpzSource:
    """Arrays from an archive that `numpy.savez` or `numpy.savez_compressed` wrote.

    Members saved without compression are mapped into memory where they lie; compressed ones are unpacked once.
    Either way their checksums are verified. float64 inputs become float32; nothing is ever unpickled.

    Args:
        path: The archive.
        layout: What the axes after the first mean; "auto" tells it from the shape.
        scale: Divisor of the raw values; None takes 255 for uint8 and 1 for floats.
        task: What the y hold: class numbers, or quantities.
    """

    def __init__(
        self,
        path: str | Path,
        layout: Layout | Literal["auto"],
        scale: float | None,
        task: Literal["classification", "regression"] = "classification",
    ) -> None:
        self._path = Path(path)
        self._layout = layout
        self._scale = scale
        self._task = task

    def identity(self) -> str:
        """Return path, size and time of the last change, so that an unchanged archive is not read again.

        Raises:
            DataError: If there is no such file.
        """
        try:
            stat = self._path.stat()
        except OSError as error:
            raise DataError([self._unreadable(error.strerror or str(error))]) from error
        read = f"layout {self._layout}, scale {self._scale}, task {self._task}"
        return f"npz {self._path.resolve()}, {stat.st_size} bytes, changed {stat.st_mtime_ns}, {read}"

    def load(self) -> RawArrays:
        """Return the arrays.

        Raises:
            DataError: With all that is wrong: no file, no archive, keys missing, damaged or pickled members, a layout
                that cannot be told from the shape.
        """
        try:
            with zipfile.ZipFile(self._path) as archive:
                notes = self._notes(archive)
                arrays, problems = self._read_members(archive)
        except (OSError, zipfile.BadZipFile) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not an archive written by numpy.savez"
            raise DataError([self._unreadable(reason or str(error))]) from error
        if problems:
            raise DataError(problems)
        return replace(self._assemble(arrays), notes=(*notes, *_coarse(arrays["x_train"])))

    def _notes(self, archive: zipfile.ZipFile) -> tuple[str, ...]:
        """Return in words what lies in the archive and is not used."""
        used = (*_KEYS, "target_names" if self._task == "regression" else "class_names")
        unused = sorted({name.removesuffix(".npy") for name in archive.namelist()} - {*used})
        return (f"in {self._path} {listed(unused)} are not used; {', '.join(used)} are.",) if unused else ()

    def _unreadable(self, reason: str) -> Problem:
        return Problem(_FIELD, f"{self._path} cannot be read: {reason}. Give the path of an .npz file.")

    def _read_members(self, archive: zipfile.ZipFile) -> tuple[dict[str, npt.NDArray[Any]], list[Problem]]:
        stored = {name.removesuffix(".npy"): name for name in archive.namelist()}
        problems = []
        if missing := [key for key in _KEYS if key not in stored]:
            text = f"{self._path} lacks {', '.join(missing)}; it holds {', '.join(sorted(stored)) or 'nothing'}. "
            problems.append(Problem(_FIELD, text + "Save the arrays under the missing names."))
        arrays = {}
        for key in (*_KEYS, "class_names", "target_names"):
            if key not in stored:
                continue
            try:
                arrays[key] = _read_member(archive, self._path, stored[key])
            except _UNREADABLE as error:
                problems.append(
                    Problem(_FIELD, f"{key} in {self._path} cannot be read: {error}. Save the array again.")
                )
        return arrays, problems

    def _assemble(self, arrays: dict[str, npt.NDArray[Any]]) -> RawArrays:
        x_train, y_train, x_test, y_test = (arrays[key] for key in _KEYS)
        layout = infer_layout(x_train.shape) if self._layout == "auto" else self._layout
        is_regression = self._task == "regression"
        fitting = [name for name in LAYOUTS if RANKS[name] == x_train.ndim]
        raw = RawArrays(
            _as_float32(x_train),
            y_train,
            _as_float32(x_test),
            y_test,
            () if is_regression else _class_names(arrays.get("class_names"), y_train, y_test),
            layout or (fitting or ["features"])[0],
            self._scale or (255.0 if x_train.dtype == np.uint8 else 1.0),
            target_names(y_train, arrays.get("target_names")) if is_regression else (),
        )
        if layout is None:  # said together with all else that is wrong
            remedy = f"Set it to one of {', '.join(fitting)}." if fitting else "Give x_train 2 to 4 axes, images first."
            text = f"the shape {x_train.shape} of x_train does not tell its layout. {remedy}"
            raise DataError([Problem("data.layout", text), *check_arrays(raw)])
        return raw


def _read_member(archive: zipfile.ZipFile, path: Path, name: str) -> npt.NDArray[Any]:
    info = archive.getinfo(name)
    with archive.open(info) as stream:
        _read_header(stream)  # refuses objects in our words, whatever the compression
    with archive.open(info) as stream:
        if info.compress_type != zipfile.ZIP_STORED:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read()  # to the member's end, where zipfile compares the checksum
            return array
        shape, is_fortran, dtype = _read_header(stream)
        offset = stream.tell()
        while stream.read(_CHUNK_BYTES):  # compares the checksum, and leaves the pages in the system's cache
            pass
    if info.file_size - offset != dtype.itemsize * int(np.prod(shape)):
        raise ValueError("its length does not fit its header")
    if info.file_size == offset:
        return np.empty(shape, dtype)  # nothing to map
    start = _member_start(archive, info) + offset
    return np.memmap(path, dtype, "r", start, shape, order="F" if is_fortran else "C")


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(
            "it holds pickled objects, which are never loaded; give it a plain type: .astype(str) or .astype('int64')"
        )
    return shape, is_fortran, dtype


def _member_start(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: after its local header, which ends with the lengths of name and extra."""
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    header = archive.fp.read(30)
    return info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _coarse(x: npt.NDArray[Any]) -> Iterator[str]:
    """Yield which columns (n, F) of double precision hardly differ once they are float32."""
    if x.dtype != np.float64 or x.ndim != 2 or not x.size:
        return
    with np.errstate(invalid="ignore"):  # values that are not finite are reported elsewhere
        lowest, highest = x.min(0), x.max(0)
        width, size = highest - lowest, np.maximum(np.abs(lowest), np.abs(highest))
        columns = np.flatnonzero((width > 0) & (width <= _LEAST_RANGE * size))
    if len(columns):
        yield (
            f"x_train differs in columns {listed([str(column) for column in columns])} by less than float32, in which "
            "networks read it, can tell well. Subtract a large offset from them."
        )


def _as_float32(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if x.dtype != np.float64:
        return x
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite and is reported as not finite
        return x.astype(np.float32)


def _class_names(stored: npt.NDArray[Any] | None, *labels: npt.NDArray[Any]) -> tuple[str, ...]:
    """Return the stored names, or the labels themselves where they are numbers of classes."""
    if stored is not None:
        return names_in(stored)
    return numbered_classes(*labels)
