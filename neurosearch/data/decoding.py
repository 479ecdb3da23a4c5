"""Image files to pixels of one size: one image, or all of them into one file that is mapped into memory.

Shape letters: n images, H and W height and width, C colour channels.
"""

import errno
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from neurosearch.longwork import long_work

Colour = Literal["rgb", "grey"]
Sides = tuple[int, int]
Pixels = npt.NDArray[np.uint8]

_MODES: dict[Colour, str] = {"rgb": "RGB", "grey": "L"}
_DEEP_MODES = ("I", "F")  # Pillow cuts these off at 255 when it makes 8 bits of them
_BLOCK_BYTES = 1 << 22  # of pixels between two marks of progress
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_TODO, _DONE, _BROKEN = 0, 1, 2

# What Pillow's readers raise on bytes that are no image. An error of the system (no such file, too many open files)
# carries a number and is none of these: it says nothing about the image, unless it is a link that leads nowhere.
BROKEN_BYTES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class BrokenImageError(ValueError):
    """The file is there and is no image that can be used."""


def read_image(path: str, sides: Sides | None, colour: Colour) -> Pixels:
    """Return one image, (H, W, 3) or (H, W): its colours converted, then resized (bilinear, with antialiasing).

    Prediction from a folder of images does the same in the same order.

    Raises:
        BrokenImageError: If it cannot be decoded, has more than 8 bits a channel or is a link to no file.
        OSError: If the system does not let the file be read.
    """
    try:
        with Image.open(path) as image:
            _refuse_deep(image.mode)
            pixels = image.convert(_MODES[colour])
        if sides is not None and (pixels.height, pixels.width) != sides:
            pixels = pixels.resize((sides[1], sides[0]), Image.Resampling.BILINEAR)
    except BROKEN_BYTES as error:
        raise _told(path, error) from error
    return np.asarray(pixels)


def read_sides(path: str) -> Sides:
    """Return height and width of an image from its header. Raises as `read_image` does."""
    try:
        with Image.open(path) as image:
            _refuse_deep(image.mode)
            return image.height, image.width
    except BROKEN_BYTES as error:
        raise _told(path, error) from error


def _refuse_deep(mode: str) -> None:
    if mode.startswith(_DEEP_MODES):
        raise ValueError("it has more than 8 bits a channel")


def _told(path: str, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno in _NOWHERE and os.path.islink(path):  # noqa: PTH114 (a text)
        return BrokenImageError("it is a link that leads nowhere")
    if isinstance(error, OSError) and error.errno is not None:
        if error.filename is None:  # so it is where reading fails, and not opening
            error.filename = path
        return error
    return BrokenImageError(f"{type(error).__name__}: {error}")


def num_readers() -> int:
    """Return how many threads decode at once: one for each core that this process may use.

    Threads do, for Pillow lets go of the interpreter while it decodes and resizes.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def all_sides(paths: Sequence[str]) -> list[Sides | None]:
    """Return height and width of every image, None for a broken one."""
    with (
        long_work("looking at images", len(paths), "images") as more,
        ThreadPoolExecutor(num_readers()) as pool,
    ):

        def look(path: str) -> Sides | None:
            try:
                return read_sides(path)
            except BrokenImageError:
                return None
            finally:
                more(1)

        return list(pool.map(look, paths))


@dataclass(frozen=True)
class Decoded:
    """All images, decoded.

    Attributes:
        pixels: (n, H, W, 3) or (n, H, W), mapped into memory; zeros for a broken image.
        broken: Positions of the broken images, ascending.
    """

    pixels: npt.NDArray[Any]
    broken: npt.NDArray[np.int64]


def decode_into(folder: Path, paths: Sequence[str], sides: Sides, colour: Colour) -> Decoded:
    """Decode all images into one file of a folder, or finish what an earlier call of the same arguments began.

    The images are decoded in blocks by as many threads as there are cores. A block is marked as done after its pixels
    have reached the disk, so a call that is killed is gone on with by the next one.

    Raises:
        OSError: If a file cannot be read, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(paths), *sides, 3) if colour == "rgb" else (len(paths), *sides)
    with _Target(folder, shape) as target, ThreadPoolExecutor(num_readers()) as pool:
        _run(pool, target, paths, sides, colour)
        status = target.status()
    pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
    return Decoded(pixels, np.flatnonzero(status == _BROKEN))


class _Target:
    """The two files that decoding writes: the pixels, and one byte of progress for each image."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self._bytes_each = int(np.prod(shape[1:]))
        self._num_images = shape[0]
        self._pixels = os.open(folder / "pixels.npy", os.O_RDWR | os.O_CREAT, 0o644)
        self._status = os.open(folder / "status.bin", os.O_RDWR | os.O_CREAT, 0o644)
        with open(os.dup(self._pixels), "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
            descr = np.lib.format.dtype_to_descr(np.dtype(np.uint8))
            np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
            self._start = file.tell()
        os.truncate(self._pixels, self._start + self._num_images * self._bytes_each)
        os.truncate(self._status, self._num_images)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pixels)
        os.close(self._status)

    def status(self) -> npt.NDArray[np.uint8]:
        """Return how far every image is."""
        return np.frombuffer(os.pread(self._status, self._num_images, 0), np.uint8)

    def blocks(self) -> list[tuple[int, int]]:
        """Return first and last position (exclusive) of every block that is not done."""
        status, size = self.status(), max(1, _BLOCK_BYTES // self._bytes_each)
        starts = range(0, self._num_images, size)
        return [(start, min(start + size, self._num_images)) for start in starts if _is_open(status, start, size)]

    def write(self, start: int, pixels: Pixels, status: bytes) -> None:
        """Write a block and, once it has reached the disk, that it is done."""
        _write_all(self._pixels, memoryview(pixels.tobytes()), self._start + start * self._bytes_each)
        os.fsync(self._pixels)
        _write_all(self._status, memoryview(status), start)


def _is_open(status: npt.NDArray[np.uint8], start: int, size: int) -> bool:
    return bool((status[start : start + size] == _TODO).any())


def _write_all(file: int, content: memoryview, position: int) -> None:
    """Write at a position; not through a memory map, where a full disk would kill the process."""
    while content:
        written = os.pwrite(file, content, position)
        content, position = content[written:], position + written


def _run(pool: Executor, target: _Target, paths: Sequence[str], sides: Sides, colour: Colour) -> None:
    blocks = target.blocks()
    with long_work("decoding images", sum(end - start for start, end in blocks), "images") as more:
        _decode(pool, target, blocks, paths, sides, colour, more)


def _decode(
    pool: Executor,
    target: _Target,
    blocks: Sequence[tuple[int, int]],
    paths: Sequence[str],
    sides: Sides,
    colour: Colour,
    more: Callable[[int], None],
) -> None:
    def decode(block: tuple[int, int]) -> None:
        start, end = block
        shape = (end - start, *sides, 3) if colour == "rgb" else (end - start, *sides)
        pixels, status = np.zeros(shape, np.uint8), bytearray([_DONE]) * (end - start)
        for row, path in enumerate(paths[start:end]):
            try:
                pixels[row] = read_image(path, sides, colour)
            except BrokenImageError:
                status[row] = _BROKEN
        target.write(start, pixels, bytes(status))
        more(end - start)

    futures = [pool.submit(decode, block) for block in blocks]
    try:
        for future in futures:
            future.result()
    except BaseException:
        for future in futures:
            future.cancel()  # what runs already ends with its block
        raise
