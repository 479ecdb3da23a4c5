"""Image files as a data set: looked at by their headers, then decoded once into one file of uint8 pixels."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from neurosearch.data.arrays import Layout, RawArrays
from neurosearch.data.decoding import Colour, Decoded, Sides, all_sides, decode_into
from neurosearch.data.listing import Listing
from neurosearch.data.problems import DataError, Problem, listed

_NAMED_SIZES = 3
_COPY_BYTES = 1 << 24


@dataclass(frozen=True)
class ImageSettings:
    """How image files become arrays.

    Attributes:
        resize: Height and width in pixels that images are brought to; None where all have one size.
        colour: What the colours are converted to.
        broken_share: Largest share of the files that may be broken, in [0, 1); these are left out.
    """

    resize: Sides | None
    colour: Colour
    broken_share: float


class ImageSource:
    """Images from files: (n, H, W, 3) or, grey, (n, H, W), uint8.

    Args:
        listing: Finds the files; called once, when they are first needed.
        settings: How they become arrays.
    """

    def __init__(self, listing: Callable[[], Listing], settings: ImageSettings) -> None:
        self._list = listing
        self._settings = settings

    @cached_property
    def _listing(self) -> Listing:
        return self._list()

    def identity(self) -> str:
        """Return a text that changes with any file's path, label, size or time of change.

        Raises:
            DataError: If the files cannot be listed.
            OSError: If a listed file is gone.
        """
        return f"images {self._settings}, {self._listing.digest()}"

    def survey(self) -> RawArrays:
        """Return what `load` would, from the headers alone: the pixels are all 0 and take no memory.

        Images that are far are taken for whole where their size is asked for, and brought here else.

        Raises:
            DataError: As `load` does, but for images whose header is whole.
        """
        sides = self._all_sides()
        self._check_broken([position for position, each in enumerate(sides) if each is None])
        whole = np.array([each is not None for each in sides])
        shape = self._shape(self._common_sides(sides))
        return self._assemble(whole, lambda count: np.broadcast_to(np.uint8(0), (count, *shape)))

    def load(self) -> RawArrays:
        """Return the images, held in memory.

        Raises:
            DataError: If the files cannot be listed, their sizes differ and no size was asked for, or more than the
                tolerated share is broken.
            OSError: If a file cannot be read.
        """
        with TemporaryDirectory() as folder:
            raw = self.stage(Path(folder))
            return replace(raw, x_train=np.array(raw.x_train), x_test=np.array(raw.x_test))

    def stage(self, folder: Path) -> RawArrays:
        """Return the images, decoded into files of a folder and mapped from there; a second call goes on with them.

        Raises as `load` does.
        """
        paths = self._listing.files.near(self._listing.paths)
        sides = self._settings.resize or self._common_sides(all_sides(paths))
        decoded = decode_into(folder, paths, sides, self._settings.colour)
        self._check_broken(decoded.broken.tolist())
        whole = np.ones(len(paths), bool)
        whole[decoded.broken] = False
        pixels = _without_broken(decoded, whole, folder)
        num_train = int(whole[: len(self._listing.train.paths)].sum())
        parts = iter((pixels[:num_train], pixels[num_train:]))
        return self._assemble(whole, lambda _: next(parts))

    def _all_sides(self) -> Sequence[Sides | None]:
        files, paths = self._listing.files, self._listing.paths
        if self._settings.resize is not None and not files.are_near:
            return [self._settings.resize] * len(paths)
        return all_sides(files.near(paths))

    def _shape(self, sides: Sides) -> tuple[int, ...]:
        return (*sides, 3) if self._settings.colour == "rgb" else sides

    def _common_sides(self, sides: Sequence[Sides | None]) -> Sides:
        """Return the size that images are brought to: the one asked for, or the one that all have."""
        if self._settings.resize is not None:
            return self._settings.resize
        sizes = Counter(each for each in sides if each is not None)
        if len(sizes) == 1:
            return next(iter(sizes))
        if not sizes:
            raise DataError([Problem("data.path", "no image can be read. Give a folder of whole images.")])
        common = [f"{height} x {width} ({count} images)" for (height, width), count in sizes.most_common(_NAMED_SIZES)]
        text = (
            f"the images have {len(sizes)} sizes, such as {', '.join(common)}. Set data.resize to the height and width "
            "that all are brought to, such as [64, 64]."
        )
        raise DataError([Problem("data.resize", text)])

    def _check_broken(self, broken: Sequence[int]) -> None:
        paths, allowed = self._listing.paths, self._settings.broken_share
        if len(broken) > allowed * len(paths):
            text = (
                f"{len(broken)} of {len(paths)} images are broken, a share of {len(broken) / len(paths):.3g}, but "
                f"{allowed:g} is the most allowed: {listed([paths[position] for position in broken])}. "
                "Replace or remove them, or raise data.broken_share to leave them out."
            )
            raise DataError([Problem("data.broken_share", text)])

    def _assemble(self, whole: npt.NDArray[np.bool_], part: Callable[[int], npt.NDArray[Any]]) -> RawArrays:
        listing = self._listing
        num_train = len(listing.train.paths)
        y_train, y_test = listing.train.labels[whole[:num_train]], listing.test.labels[whole[num_train:]]
        broken = tuple(listing.paths[position] for position in np.flatnonzero(~whole))
        layout: Layout = "HWC" if self._settings.colour == "rgb" else "HW"
        x_train, x_test = part(len(y_train)), part(len(y_test))
        parts = (x_train, y_train, x_test, y_test)
        return RawArrays(*parts, listing.class_names, layout, 255.0, broken=broken, notes=listing.notes)


def _without_broken(decoded: Decoded, whole: npt.NDArray[np.bool_], folder: Path) -> npt.NDArray[Any]:
    """Return the whole images, mapped: the decoded file itself, or a copy of it without the broken ones."""
    pixels = decoded.pixels
    if not len(decoded.broken):
        return pixels
    kept = np.flatnonzero(whole)
    path = folder / "whole.npy"
    rows = max(1, _COPY_BYTES // pixels[0].nbytes)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), *pixels.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(kept), rows):
            file.write(np.ascontiguousarray(pixels[kept[start : start + rows]]).data)
    mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
