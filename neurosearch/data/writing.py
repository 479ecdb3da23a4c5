"""Writing the parts of prepared data: chunk by chunk, so that memory stays small whatever the source's size."""

import hashlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from neurosearch.data.arrays import RawArrays
from neurosearch.data.manifest import FILE_NAME, FORMAT_VERSION, Manifest
from neurosearch.data.preprocess import Moments, Preprocess
from neurosearch.data.selection import PrepareSettings, select
from neurosearch.data.spec import PreprocessSpec
from neurosearch.data.targets import TargetScaling, scaling_of, unscaled

BROKEN_NAME = "broken.txt"  # names the files that were left out, one a line
NORMALISED_BYTES = 1 << 30  # largest training part that is written normalised, where it can be kept smaller
_CHUNK_VALUES = 1 << 22  # 16 MiB of float32

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]


def write_parts(settings: PrepareSettings, raw: RawArrays, folder: Path) -> None:
    """Write the normalised parts, the raw validation and test parts and the manifest into an empty folder."""
    selection = select(settings, raw)
    spec = _spec(settings, raw)
    mean, std, value_range = _statistics(spec, raw.x_train, selection.train)
    if raw.is_scaled:
        mean, std = torch.zeros_like(mean), torch.ones_like(std)
    preprocess = Preprocess(spec, mean, std)
    targets = _scaling(raw, selection.train) if raw.target_names else None
    is_normalised = not is_streamed(spec, len(selection.train))
    everything = np.arange(len(raw.y_test))
    parts = (
        ("train", raw.x_train, raw.y_train, selection.train),
        ("validation", raw.x_train, raw.y_train, selection.validation),
        ("test", raw.x_test, raw.y_test, everything),
    )
    counts = []
    for name, x, y, positions in parts:
        learned = y[positions].astype(np.int64) if targets is None else targets.standardise(y[positions])
        strata = learned if targets is None else np.zeros(len(positions), dtype=np.int64)
        counts.append(tuple(np.bincount(strata, minlength=len(raw.class_names)).tolist()))
        _write(folder / f"{name}_y.npy", str(learned.dtype), learned.shape, [learned])
        chunks = _chunks(x, positions)
        if is_normalised:
            shape = (len(positions), *spec.input_shape)
            normalised = (preprocess(torch.from_numpy(x[chunk])).numpy() for chunk in chunks)
            _write(folder / f"{name}_x.npy", "float32", shape, normalised)
        if name != "train" or not is_normalised:
            _write(folder / f"{name}_raw.npy", spec.dtype, (len(positions), *spec.raw_shape), (x[c] for c in chunks))
    train_counts, validation_counts, test_counts = counts
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        data_hash=data_hash(raw),
        class_names=raw.class_names,
        train_counts=train_counts,
        validation_counts=validation_counts,
        test_counts=test_counts,
        layout=spec.layout,
        dtype=spec.dtype,
        raw_shape=spec.raw_shape,
        input_shape=spec.input_shape,
        scale=spec.scale,
        resize=spec.resize,
        value_range=value_range,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        targets=targets,
        is_normalised=is_normalised,
    )
    if raw.broken:
        # A file's name need not be text.
        (folder / BROKEN_NAME).write_bytes(b"".join(os.fsencode(path) + b"\n" for path in raw.broken))
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")


def is_streamed(spec: PreprocessSpec, num_train: int) -> bool:
    """Return whether the parts are kept as stored and normalised batch by batch.

    They are if the training part is large and whole numbers of 8 bits, which take a quarter of the place of normalised
    ones in the system's cache and of the way from the disk. Resizing a batch costs more than that gains.
    """
    is_small = 4 * num_train * math.prod(spec.raw_shape) <= NORMALISED_BYTES
    return spec.dtype == "uint8" and spec.resize in (None, spec.sides) and not is_small


def build_preprocess(manifest: Manifest) -> Preprocess:
    """Return the module that the parts of this manifest were normalised with."""
    return Preprocess(manifest.spec, torch.tensor(manifest.mean), torch.tensor(manifest.std))


def data_hash(raw: RawArrays) -> str:
    """Return the sha256 of the arrays and names, the same for the same content in any file format."""
    digest = hashlib.sha256(repr((raw.class_names or ("targets", *raw.target_names), raw.layout)).encode())
    for x in (raw.x_train, raw.x_test):
        digest.update(repr((str(x.dtype), x.shape)).encode())
        for positions in _chunks(x, np.arange(len(x))):
            digest.update(np.ascontiguousarray(x[positions[0] : positions[-1] + 1]).data)
    for y in (raw.y_train, raw.y_test):
        digest.update(np.ascontiguousarray(y, dtype="<f8" if raw.target_names else "<i8").data)
    return digest.hexdigest()


def _scaling(raw: RawArrays, positions: Positions) -> TargetScaling:
    return unscaled(raw.target_names) if raw.is_scaled else scaling_of(raw.y_train[positions], raw.target_names)


def _spec(settings: PrepareSettings, raw: RawArrays) -> PreprocessSpec:
    dtype = cast("Literal['uint8', 'float32']", str(raw.x_train.dtype))
    resize = None if raw.layout == "features" else settings.resize
    return PreprocessSpec(raw.layout, dtype, raw.x_train.shape[1:], raw.scale, resize)


def _chunks(x: Array, positions: Positions) -> list[Positions]:
    rows = max(1, _CHUNK_VALUES // int(np.prod(x.shape[1:])))
    return [positions[start : start + rows] for start in range(0, len(positions), rows)]


def _statistics(
    spec: PreprocessSpec, x: Array, positions: Positions
) -> tuple[torch.Tensor, torch.Tensor, tuple[float, float]]:
    """Return mean and deviation of the scaled, resized training part, and the range of its raw values."""
    shape = (spec.num_channels,)
    arrange, moments = Preprocess(spec, torch.zeros(shape), torch.ones(shape)).arrange, Moments()
    lowest, highest = np.inf, -np.inf
    for chunk in _chunks(x, positions):
        rows = x[chunk]
        lowest, highest = min(lowest, float(rows.min())), max(highest, float(rows.max()))
        moments.add(arrange(torch.from_numpy(rows)))
    mean, std = moments.finish()
    return mean, std, (lowest, highest)


def _write(path: Path, dtype: str, shape: tuple[int, ...], chunks: Iterable[Array]) -> None:
    """Write an `.npy` file piece by piece; not through a memory map, where a full disk would kill the process."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype).data)
        file.flush()
        os.fsync(file.fileno())
