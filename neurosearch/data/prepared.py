"""Prepared data: a folder of `.npy` files that every worker and trial of a node maps into memory, made once.

The folder is named by a hash of the settings and the source. Whoever comes first writes it under an advisory lock into
a temporary folder and renames it at the end, so a folder with its final name is whole.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from neurosearch.data import writing
from neurosearch.data.arrays import ArraySource, LargeSource, RawArrays
from neurosearch.data.known import Known, changed, differences
from neurosearch.data.manifest import FORMAT_VERSION, Manifest, read_manifest
from neurosearch.data.postprocess import build_postprocess
from neurosearch.data.preprocess import Preprocess
from neurosearch.data.problems import DataError, Problem, ServerAway
from neurosearch.data.selection import PrepareSettings, checked


@dataclass(frozen=True)
class Arrays:
    """Inputs and targets of one part, mapped into memory.

    Attributes:
        x: (num_images, ...), float32 for normalised parts, as stored for raw ones.
        y: Labels (num_images,) int64, or standardised quantities (num_images, T) float32.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]


@dataclass(frozen=True)
class PreparedData:
    """A folder of prepared data and its manifest; small, so it travels to workers, who open the arrays themselves."""

    folder: Path
    manifest: Manifest

    def train(self) -> Arrays:
        """Return the training part: normalised, or what `normalise` takes."""
        return self._open(self._inputs("train"), "train_y")

    def validation(self) -> Arrays:
        """Return the validation part: normalised, or what `normalise` takes."""
        return self._open(self._inputs("validation"), "validation_y")

    def test(self) -> Arrays:
        """Return the test part, normalised or what `normalise` takes: to be read once, for the chosen configuration."""
        return self._open(self._inputs("test"), "test_y")

    def raw_validation(self) -> Arrays:
        """Return the validation part as stored: what an exported network reads."""
        return self._open("validation_raw", "validation_y")

    def raw_test(self) -> Arrays:
        """Return the test part as stored."""
        return self._open("test_raw", "test_y")

    def preprocess(self) -> Preprocess:
        """Return the module that turned raw examples into the normalised ones."""
        return writing.build_preprocess(self.manifest)

    def postprocess(self) -> nn.Module:
        """Return the module that brings a network's outputs to what a user reads: logits as they are, or quantities."""
        return build_postprocess(self.manifest.targets)

    def normalise(self) -> Preprocess | None:
        """Return what normalises batches of the three parts where they are too large to lie normalised; None else."""
        return None if self.manifest.is_normalised else self.preprocess()

    def _inputs(self, part: str) -> str:
        return f"{part}_x" if self.manifest.is_normalised else f"{part}_raw"

    def _open(self, x_name: str, y_name: str) -> Arrays:
        # Copy-on-write: torch takes such arrays without a warning, and no worker can change what the others see.
        x, y = (np.load(self.folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in (x_name, y_name))
        return Arrays(x, y)


def prepare(settings: PrepareSettings, source: ArraySource, folder: Path, known: Known | None = None) -> PreparedData:
    """Return the prepared data of a source, writing them below `folder` unless they are there.

    Any number of processes may call this at the same time; one writes, the others wait for it. What a large source has
    decoded lies in a hidden folder until all is written; if the writer is killed, the next one goes on with it.

    Args:
        settings: How the parts are made.
        source: Where the arrays come from; loaded only if they have to be written.
        folder: Holds one folder for each combination of settings and source.
        known: What the data must be; if it lies below `folder`, nobody looks at the source, which may have changed.

    Raises:
        DataError: If the data cannot be used as asked, or the source does not hold what is known.
        OSError: If the folder cannot be written, for example because the disk is full; nothing half-made gets a name.
    """
    for earlier in () if known is None else known.keys:
        if (folder / earlier).exists():
            return open_prepared(folder / earlier)
    key = prepared_key(settings, source)
    expected = None if known is None or key in known.keys else known.data_hash
    target = folder / key
    if not target.exists():
        _make_folder(folder)
        with _locked(folder / f"{key}.lock"):
            if not target.exists():
                _remove_torsos(target)
                _write(settings, source, target, expected)
    prepared = open_prepared(target)
    if expected not in (None, prepared.manifest.data_hash):  # somebody prepared the changed source here
        raise changed("other content")
    return prepared


def check_unchanged(settings: PrepareSettings, source: ArraySource, known: Known, folder: Path) -> str:
    """Return the key of a source that holds what is known; its content is read only where the key is another one.

    Args:
        settings: How the parts are made.
        source: Where the arrays come from.
        known: What it must hold.
        folder: Where the prepared data may lie.

    Raises:
        DataError: If the source has changed, or cannot be read.
    """
    key = prepared_key(settings, source)
    if key in known.keys:
        return key
    with tempfile.TemporaryDirectory(prefix=".", dir=folder if os.access(folder, os.W_OK) else None) as scratch:
        raw = checked(settings, source.stage(Path(scratch)) if isinstance(source, LargeSource) else source.load())
        if writing.data_hash(raw) != known.data_hash:
            before = known.manifest(folder)
            raise changed(differences(before, raw, is_thinned=settings.imbalance is not None))
    return key


def prepared_key(settings: PrepareSettings, source: ArraySource) -> str:
    """Return the name of the folder: 16 hexadecimal digits that change with the settings, the source or the format."""
    text = json.dumps([FORMAT_VERSION, asdict(settings), source.identity()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_prepared(folder: Path) -> PreparedData:
    """Return the prepared data of a folder that `prepare` wrote; the arrays are mapped when they are asked for.

    Raises:
        DataError: If the folder is missing something, is damaged or has another format version.
    """
    manifest = read_manifest(folder)
    wrong = [name for name, expected in manifest.arrays.items() if _found(folder / f"{name}.npy") != expected]
    if wrong:
        text = f"{folder} is damaged: {', '.join(wrong)} missing or cut off. Delete it; the next search makes it again."
        raise DataError([Problem("data", text)])
    return PreparedData(folder, manifest)


def _found(path: Path) -> tuple[str, tuple[int, ...]] | None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return str(array.dtype), array.shape


def _make_folder(folder: Path) -> None:
    remedy = "Give a folder that can be written."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"{folder} cannot be made: {error.strerror}. {remedy}"
        raise DataError([Problem("storage.folder", text)]) from error
    if not os.access(folder, os.W_OK):
        raise DataError([Problem("storage.folder", f"{folder} cannot be written. {remedy}")])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock; the system lets go of it when the process ends, however it ends."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(settings: PrepareSettings, source: ArraySource, target: Path, expected: str | None) -> None:
    scratch = target.with_name(f".{target.name}.scratch")
    try:
        raw = checked(settings, source.stage(scratch) if isinstance(source, LargeSource) else source.load())
        if expected is not None and writing.data_hash(raw) != expected:
            raise changed("other content")
    except DataError as error:
        if not isinstance(error, ServerAway):  # the same may work later, and goes on with what is decoded
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    _write_parts(settings, raw, target)
    if raw.broken:
        text = f"{len(raw.broken)} broken images are left out; {target / writing.BROKEN_NAME} names them"
        warnings.warn(text, stacklevel=2)
    shutil.rmtree(scratch, ignore_errors=True)


def _remove_torsos(target: Path) -> None:
    """Remove what writers that were killed have left, each as large as the data; who holds the lock writes alone."""
    for torso in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(torso, ignore_errors=True)


def _write_parts(settings: PrepareSettings, raw: RawArrays, target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        writing.write_parts(settings, raw, temporary)
        temporary.chmod(0o755)  # mkdtemp's folder is for its owner alone, but a node's workers share this one
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
