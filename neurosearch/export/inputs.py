"""Raw examples for prediction: an npz with key x, or images, brought to the layout the network reads."""

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

from neurosearch.data.decoding import BROKEN_BYTES
from neurosearch.data.folder_parts import images_below
from neurosearch.data.listing import SUFFIXES
from neurosearch.data.problems import DataError
from neurosearch.export.card import Card
from neurosearch.export.errors import PredictError

Raw = npt.NDArray[Any]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names by number of channels
_DEEP_MODES = ("I", "F")  # Pillow cuts these off at 255 when it makes 8 bits of them
_NAMED = 5  # problems listed by name; more are counted
_MOST_ROWS, _MOST_BYTES = 256, 1 << 24  # of a batch, as float32: of large images fewer, for layers keep many times that


@dataclass(frozen=True)
class Examples:
    """Raw examples that are read when they are asked for.

    Attributes:
        names: One for each example.
        batches: Given a size, yields raw batches (N, ...) in the order of the names.
    """

    names: tuple[str, ...]
    batches: Callable[[int], Iterator[Raw]]


def rows_at_once(card: Card) -> int:
    """Return how many examples go through a network together: as many as little memory holds, whatever their size."""
    values = max(prod(card.raw_shape), prod(card.input_shape))
    return max(1, min(_MOST_ROWS, _MOST_BYTES // (4 * values)))


def open_npz(path: Path, card: Card, _resize: bool) -> Examples:
    """Return the examples of an npz, named by their rows; float64 becomes float32, as in training.

    Raises:
        PredictError: If it cannot be read or has no array `x` with examples.
    """
    try:
        x = _read_x(path)
    except (OSError, BadZipFile, EOFError, ValueError, RuntimeError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        text = f"{path} cannot be read: {reason}. Give an .npz file, an image or a folder of images."
        raise PredictError(text) from error
    if x.ndim == 0 or len(x) == 0:
        raise PredictError(f"x in {path} has shape {x.shape}: there is no example in it. Save one row per example.")
    if x.dtype == np.float64 and card.dtype == "float32":
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, and is refused as not finite
            x = x.astype(np.float32)
    names = tuple(str(row) for row in range(len(x)))
    return Examples(names, lambda size: (x[start : start + size] for start in range(0, len(x), size)))


def _read_x(path: Path) -> Raw:
    try:
        loaded = np.load(path, allow_pickle=False)
    except ValueError as error:  # numpy takes whatever it does not know for a pickle, and advises to trust it
        raise ValueError("it is not an archive written by numpy.savez") from error
    if isinstance(loaded, np.ndarray):
        raise ValueError("it is a lone array, to be saved with numpy.savez(path, x=array)")
    with loaded as archive:
        if "x" not in archive.files:
            raise ValueError(f"it lacks x and holds {', '.join(archive.files) or 'nothing'}; save the examples as x")
        x: Raw = archive["x"]
        return x


def is_images(place: Path) -> bool:
    """Tell whether examples are to be read as images: a folder of them, or one."""
    return place.is_dir() or (place.suffix.lower() in SUFFIXES and place.is_file())


def open_images(place: Path, card: Card, resize: bool) -> Examples:
    """Return one image, or those below a folder in the order of their paths; all are checked before the first is used.

    As in training, hidden files and folders are passed over, since some systems keep their own beside every image, and
    links are followed; what several lead to is read once.

    Raises:
        PredictError: If the network does not read images, or there are none, or some are broken or of another size.
    """
    sides = card.spec.sides
    if sides is None or card.dtype != "uint8":
        what = "rows of features" if sides is None else "float32 values, whose scale an image file does not tell"
        raise PredictError(f"the network reads {what}, so {place} cannot be used. Give an .npz with key x.")
    if card.spec.num_channels not in _MODES:
        what = f"images of {card.spec.num_channels} channels, which an image file does not have"
        raise PredictError(f"the network reads {what}, so {place} cannot be used. Give an .npz with key x.")
    folder = place if place.is_dir() else place.parent
    paths = sorted(map(Path, _images_below(folder))) if place.is_dir() else [place]
    if not paths:
        raise PredictError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}).")
    _check_images(paths, place, folder, None if resize else sides)
    names = tuple(str(path.relative_to(folder)) for path in paths)

    def batches(size: int) -> Iterator[Raw]:
        for start in range(0, len(paths), size):
            yield np.stack([_read_image(path, card, sides) for path in paths[start : start + size]])

    return Examples(names, batches)


def check_raw(batch: Raw, card: Card, path: Path) -> None:
    """Refuse a batch that the network was not made for.

    Raises:
        PredictError: If dtype or shape differ from the training's, or a value is not finite.
    """
    if batch.dtype != card.dtype:
        raise PredictError(
            f"x in {path} holds {batch.dtype}, but the network reads {card.dtype}. Save it with "
            f".astype('{card.dtype}'), with values on the scale of the training data."
        )
    if batch.shape[1:] != card.raw_shape:
        raise PredictError(
            f"x in {path} has examples of shape {batch.shape[1:]}, but the network reads {card.raw_shape} (layout "
            f"{card.layout}).{_shape_remedy(batch.shape[1:], card)}"
        )
    if not np.isfinite(batch).all():
        raise PredictError(f"x in {path} has values that are not finite. Remove or fill those rows.")


def _shape_remedy(shape: tuple[int, ...], card: Card) -> str:
    if len(shape) == 3 and (shape[2], *shape[:2]) == card.raw_shape:
        return " Bring the channels to the front: x.transpose(0, 3, 1, 2)."
    if len(shape) == 3 and (*shape[1:], shape[0]) == card.raw_shape:
        return " Bring the channels to the end: x.transpose(0, 2, 3, 1)."
    if [side for side in shape if side > 1] == [side for side in card.raw_shape if side > 1]:
        return f" Give them this shape: x.reshape(-1, {', '.join(map(str, card.raw_shape))})."
    if card.layout == "features":
        return " Give the features that the network was trained on, in their order."
    return " Bring the images to this size; --resize does that to images in a folder."


def _images_below(folder: Path) -> Iterator[str]:
    """Yield the images below a folder; what links lead to comes last, so that it keeps its own name if it has one."""
    waiting, read = [str(folder)], set[str]()

    def is_new(place: str) -> bool:
        real = os.path.realpath(place)
        is_first = real not in read
        read.add(real)
        return is_first

    def enter(place: str) -> bool:
        if os.path.islink(place):  # noqa: PTH114 (a text)
            waiting.append(place)
            return False
        return is_new(place)

    try:
        while waiting:
            places, waiting = sorted(waiting), []
            for place in filter(is_new, places):
                yield from images_below(Path(place), enter)
    except DataError as error:
        text = f"a folder in {folder} cannot be read: {error.__cause__}. Make it readable, or move it away."
        raise PredictError(text) from error


def _check_images(paths: list[Path], place: Path, folder: Path, sides: tuple[int, int] | None) -> None:
    """Look at every image's header: is it readable, of 8 bits a channel and, if `sides` are given, of that size."""
    broken, deep, misfits = [], [], []
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            with Image.open(path) as image:
                mode, size = image.mode, (image.height, image.width)
        except BROKEN_BYTES:
            broken.append(name)
            continue
        if mode.startswith(_DEEP_MODES):
            deep.append(name)
        if sides is not None and size != sides:
            misfits.append(f"{name} ({size[0]} x {size[1]})")
    remedies = [
        (broken, "cannot be read", "Remove or replace them."),
        (deep, "have more than 8 bits a channel", "Save them with 8."),
    ]
    if sides is not None:
        text = f"do not have the height and width {sides[0]} x {sides[1]} that the network reads"
        remedies.append((misfits, text, "Resize them, or predict with --resize."))
    problems = [
        f"{len(names)} of {len(paths)} images {text}: {_listed(names)}. {remedy}"
        for names, text, remedy in remedies
        if names
    ]
    if problems:
        raise PredictError(f"{place}: " + " ".join(problems))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _read_image(path: Path, card: Card, sides: tuple[int, int]) -> Raw:
    """Return one image in the card's layout; of another size only where resizing was asked for."""
    try:
        with Image.open(path) as image:
            pixels = image.convert(_MODES[card.spec.num_channels])
    except BROKEN_BYTES as error:
        raise PredictError(f"{path} is damaged: {error}. Remove or replace it.") from error
    if (pixels.height, pixels.width) != sides:
        pixels = pixels.resize((sides[1], sides[0]), Image.Resampling.BILINEAR)
    raw = np.asarray(pixels)
    match card.layout:
        case "HWC":
            return raw.reshape(card.raw_shape)  # a lone channel has no axis of its own in Pillow
        case "CHW":
            return raw.reshape(*sides, -1).transpose(2, 0, 1)
        case _:
            return raw
