"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST, as torchvision's dataset classes publish them.

Names of files and folders, addresses and checksums are torchvision's, and so is the download; a folder that torchvision
filled is used as it stands, and the other way round. Only the reading is ours: torchvision unpickles CIFAR's files with
whatever they name, `plain_pickle` reads arrays alone, and that only after the checksum matched.
"""

import gzip
import hashlib
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from neurosearch.data.arrays import RawArrays
from neurosearch.data.idx import read_idx
from neurosearch.data.plain_pickle import read_plain_pickle
from neurosearch.data.problems import DataError, Problem
from neurosearch.longwork import long_work

Name = Literal["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST"]

_FIELD = "data.path"
_SILENT_SECONDS = 60.0  # after which a server that sends nothing is given up


class TorchvisionSource:
    """A published data set below a folder, fetched into it where that is allowed and needed.

    Args:
        name: As torchvision spells it.
        root: The folder that torchvision calls root.
        download: Whether what is missing or damaged may be fetched.
    """

    def __init__(self, name: Name, root: str | Path, download: bool) -> None:
        self._name = name
        self._root = Path(root)
        self._download = download

    def identity(self) -> str:
        """Return the name with its published checksums: every file is compared with them, wherever it lies.

        MNIST's unpacked files have no published checksums; where they lie without the packed ones, their sizes and
        times stand here, too.
        """
        unpacked = [each for each in map(self._unpacked, _published(self._name)) if each is not None]
        stats = [(str(each.resolve()), each.stat().st_size, each.stat().st_mtime_ns) for each in unpacked]
        return f"torchvision {self._name}, {_published(self._name)}, unpacked {stats}"

    def load(self) -> RawArrays:
        """Return the arrays: images (num_images, 32, 32, 3) of CIFAR, (num_images, 28, 28) of the others.

        Raises:
            DataError: If a file is missing or damaged, and must not or cannot be fetched.
        """
        try:
            return self._read()
        except _UnusableError as unusable:
            if not self._download:
                text = f"{unusable} Write `download: true` under data to fetch {self._name}, or name its folder."
                raise DataError([Problem(_FIELD, text)]) from unusable
        fetch(self._name, self._root)
        try:
            return self._read()
        except _UnusableError as unusable:
            text = f"{unusable} It has just been fetched. Check the disk, and remove files that lie beside it."
            raise DataError([Problem(_FIELD, text)]) from unusable

    def _read(self) -> RawArrays:
        return self._read_cifar() if self._name.startswith("CIFAR") else self._read_mnist()

    def _read_cifar(self) -> RawArrays:
        dataset = _dataset(self._name)
        entries = {Path(file).name: self._plain(file, md5) for file, md5 in _published(self._name).items()}
        x_train, y_train = _cifar_part([entries[name] for name, _ in dataset.train_list])
        x_test, y_test = _cifar_part([entries[name] for name, _ in dataset.test_list])
        names = tuple(map(str, entries[dataset.meta["filename"]][dataset.meta["key"]]))
        return RawArrays(x_train, y_train, x_test, y_test, names, "HWC", 255.0)

    def _read_mnist(self) -> RawArrays:
        files = _published(self._name).items()
        x_train, y_train, x_test, y_test = (self._idx(file, md5) for file, md5 in files)
        return RawArrays(x_train, y_train, x_test, y_test, tuple(_dataset(self._name).classes), "HW", 255.0)

    def _idx(self, file: str, md5: str) -> npt.NDArray[np.uint8]:
        unpacked = self._unpacked(file)
        try:
            return read_idx(gzip.decompress(self._checked(file, md5)) if unpacked is None else unpacked.read_bytes())
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise _UnusableError(f"{unpacked or self._root / file} cannot be read: {error}.") from error

    def _plain(self, file: str, md5: str) -> Any:
        try:
            return read_plain_pickle(self._checked(file, md5))
        except ValueError as error:
            raise _UnusableError(f"{self._root / file} cannot be read: {error}.") from error

    def _checked(self, file: str, md5: str) -> bytes:
        """Return a file's bytes if they are those that were published."""
        path = self._root / file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _UnusableError(f"{path} cannot be read: {error.strerror}.") from error
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise _UnusableError(f"{path} is damaged or another file: its md5 is {found}, but {md5} was published.")
        return content

    def _unpacked(self, file: str) -> Path | None:
        """Return where MNIST's unpacked file lies if the packed one is not there to be compared with its checksum."""
        path = self._root / file
        unpacked = path.with_suffix("")
        return unpacked if path.suffix == ".gz" and unpacked.is_file() and not path.exists() else None


class _UnusableError(Exception):
    """A file is missing or damaged; fetching the data set would mend it."""


def fetch(name: Name, root: Path) -> None:
    """Let torchvision download and unpack a data set into a folder beside its place, then move it there file by file.

    Files of the same names are replaced. What breaks off leaves nothing behind.

    Raises:
        DataError: If it cannot be downloaded, or what arrived does not have the published checksum.
    """
    dataset = _dataset(name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as place:
            published = dataset.__new__(dataset)  # its constructor would unpickle what it finds
            published.root = place
            with _giving_up(), _counted(f"fetching {name}"):
                published.download()
            for path in [each for each in Path(place).rglob("*") if each.is_file()]:
                target = root / path.relative_to(place)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    except (OSError, HTTPException, RuntimeError) as error:
        text = (
            f"{name} could not be fetched into {root}: {_reason(error)}. Nothing of it was kept. Check connection and "
            "disk and run this again, or fill the folder with torchvision on another machine and copy it here."
        )
        raise DataError([Problem(_FIELD, text)]) from error


@contextmanager
def _giving_up() -> Iterator[None]:
    """Let no connection wait forever: torchvision opens its own, and names no limit for them."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _counted(what: str) -> Iterator[None]:
    """Tell how many bytes have come: by the bar that torchvision would draw, beside whatever else is drawn."""
    from torchvision.datasets import utils

    with long_work(what, unit="bytes") as more:
        before, utils.tqdm = utils.tqdm, partial(_NoBar, more)
        try:
            yield
        finally:
            utils.tqdm = before


class _NoBar:
    """Takes what a bar is told, and passes it on."""

    def __init__(self, more: Callable[[int], None], **_: object) -> None:
        self.update = more

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _reason(error: Exception) -> str:
    """Return an error in one line; torchvision's own word for a wrong checksum does not name it."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text.replace("File not found or corrupted", "what arrived does not have the published checksum")


def _cifar_part(entries: list[dict[str, Any]]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images (n, 32, 32, 3) and labels (n,) of the files of a part, whose rows are all red, then green, blue."""
    rows = np.concatenate([np.asarray(each["data"], np.uint8) for each in entries])  # (n, 3072)
    labels = [np.asarray(each["labels"] if "labels" in each else each["fine_labels"], np.int64) for each in entries]
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), np.concatenate(labels)


def _dataset(name: Name) -> Any:
    """Return torchvision's class."""
    from torchvision import datasets  # seconds of import that only this needs

    return getattr(datasets, name)


def _published(name: Name) -> dict[str, str]:
    """Return the published md5 of each file below the root that is read."""
    dataset = _dataset(name)
    if name.startswith("CIFAR"):
        listed = [*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])]
        return {f"{dataset.base_folder}/{file}": md5 for file, md5 in listed}
    return {f"{name}/raw/{file}": md5 for file, md5 in dataset.resources}
