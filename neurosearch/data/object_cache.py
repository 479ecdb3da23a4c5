"""What was fetched from S3, kept on the node: a file for each object, whole or not there."""

import base64
import fcntl
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from neurosearch.data.problems import Problem, ServerAway
from neurosearch.data.s3 import BrokenTransfer, Checksum, S3Object, S3Store
from neurosearch.longwork import long_work

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0
_BLOCK_BYTES = 1 << 20


class ObjectCache:
    """Files named by bucket, key, ETag and size: an object that changes gets another name, and is fetched again.

    An object comes under a temporary name and is renamed when its length, and its checksum where the server gives one,
    are right. One that was cut off, even by the end of the process, is gone on with from where it stopped.
    Nothing is ever removed: delete the folder to free its disk.

    Args:
        folder: Where the files lie; any number of processes may use it at the same time.
        store: Where the objects come from.
    """

    def __init__(self, folder: Path, store: S3Store) -> None:
        self._folder = folder
        self._store = store

    def path_of(self, wanted: S3Object) -> Path:
        """Return the file that an object is kept in, whether it is there or not."""
        identity = "\n".join((wanted.bucket, wanted.key, wanted.etag, str(wanted.size)))
        name = hashlib.sha256(identity.encode()).hexdigest()
        return self._folder / name[:2] / name

    def fetch(self, wanted: Sequence[S3Object]) -> list[str]:
        """Return the files of objects, after all that are not here have been fetched, several at a time.

        Raises:
            DataError: If an object cannot be read; `ServerAway` if its transfer keeps breaking. What came until then is
                kept.
            OSError: If the folder cannot be written, for example because the disk is full.
        """
        missing = [each for each in wanted if not _is_whole(self.path_of(each), each.size)]
        if missing:
            self._fetch_all(missing)
        return [str(self.path_of(each)) for each in wanted]

    def _fetch_all(self, missing: Sequence[S3Object]) -> None:
        num_bytes, what = sum(each.size for each in missing), f"fetching {len(missing):,} from S3"
        with (
            long_work(what, num_bytes, "bytes") as more,
            ThreadPoolExecutor(self._store.settings.connections) as pool,
        ):
            futures = [pool.submit(self._fetch, each, more) for each in missing]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()  # what runs already ends with its object
                raise

    def _fetch(self, wanted: S3Object, more: Callable[[int], None]) -> None:
        try:
            download(self._store, wanted, self.path_of(wanted), more)
        except BrokenTransfer as error:
            raise ServerAway([Problem("data.path", str(error))]) from error


def _untold(_num_bytes: int) -> None:
    """Tells nobody."""


def download(store: S3Store, wanted: S3Object, path: Path, more: Callable[[int], None] = _untold) -> None:
    """Bring an object to a file, whole or not at all; what came before a cut is gone on with.

    Args:
        store: Where it comes from.
        wanted: The object.
        path: The file.
        more: Told of bytes that have come, by their number.

    Raises:
        BrokenTransfer: If the transfer keeps breaking; what came is kept beside the file.
        DataError: If the object cannot be read, or is another one by now.
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of two processes that want it, one fetches
        if not _is_whole(path, wanted.size):
            more(_length(file))  # what an earlier try has left
            _complete(store, file, wanted, more)
            part.rename(path)
        else:
            part.unlink(missing_ok=True)  # ours, or that of one more that waits: the first one's has become the file


def _complete(store: S3Store, file: BinaryIO, wanted: S3Object, more: Callable[[int], None]) -> None:
    """Bring the file to the whole object, or give up after so many tries without progress."""
    furthest, num_vain = _length(file), 0
    while reason := _advance(store, file, wanted, more):
        num_vain = 0 if _length(file) > furthest else num_vain + 1
        furthest = max(furthest, _length(file))
        if num_vain >= store.settings.tries:
            raise BrokenTransfer(
                f"{wanted.address} keeps breaking off: {reason}. {furthest} of {wanted.size} bytes came, and are "
                "kept. Look after network and server, and start again."
            )
        if num_vain:
            time.sleep(min(_FIRST_PAUSE_SECONDS * 2**num_vain, _LONGEST_PAUSE_SECONDS))


def _advance(store: S3Store, file: BinaryIO, wanted: S3Object, more: Callable[[int], None]) -> str:
    """Read on from the end of the file; return why the object is not whole then, or nothing."""
    start, checksum = _length(file), None
    try:
        if start < wanted.size:
            for each in store.read(wanted, start):
                if isinstance(each, Checksum):
                    checksum = each
                else:
                    file.write(each)
                    more(len(each))
        file.flush()
        if start and _length(file) == wanted.size:
            checksum = store.checksum(wanted)
    except BrokenTransfer as error:
        file.flush()
        return str(error)
    return _wrong(file, wanted.size, checksum)


def _wrong(file: BinaryIO, size: int, checksum: Checksum | None) -> str:
    """Return what is wrong with the file's content, or nothing; a wrong content is thrown away."""
    length = _length(file)
    if length < size:
        return f"the server stopped after {length} of {size} bytes"
    if length > size:
        file.truncate(0)
        return f"{length} bytes came, but it has {size}"
    if checksum is not None and _digest(file, checksum.algorithm) != checksum.value:
        file.truncate(0)
        return f"its {checksum.algorithm} is wrong"
    return ""


def _digest(file: BinaryIO, algorithm: str) -> str:
    file.seek(0)
    if algorithm == "crc32":
        value = 0
        while block := file.read(_BLOCK_BYTES):
            value = zlib.crc32(block, value)
        return base64.b64encode(value.to_bytes(4, "big")).decode()
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest() if algorithm == "md5" else base64.b64encode(digest.digest()).decode()


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _is_whole(path: Path, size: int) -> bool:
    """Return whether a file is there with its whole length: a system that lost power may keep a name without bytes."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
