"""What trials leave, kept in S3 with a cache on each node.

An object is called `PREFIX/STUDY/PATH.sha256-DIGEST`. So its digest is there at once with its content, whatever server
keeps it; a file that is kept again is a second object, and the later one counts. An object whose content has another
digest is damaged and counts as not there, as half of one does that a dying server left.
"""

import fcntl
import hashlib
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

from neurosearch.build.data import s3_settings
from neurosearch.config.s3 import split_address
from neurosearch.data.object_cache import download
from neurosearch.data.problems import DataError
from neurosearch.data.s3 import BrokenTransfer, S3Object
from neurosearch.data.s3_writing import WritableS3
from neurosearch.search.errors import StorageLost, StudyError
from neurosearch.search.folders import ArtifactsPlace, StudyFolder

_T = TypeVar("_T")
_MARK = ".sha256-"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECONDS_PER_TRY = 12.0  # a server is restarted in a minute, and trials go on meanwhile
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 3.0
_PROBE = "probe.txt"
_logger = logging.getLogger("neurosearch")


class S3Artifacts:
    """The files of one study in a bucket.

    Attributes:
        patience_seconds: For how long a server that does not answer is asked again.
    """

    are_near = False

    def __init__(self, folder: StudyFolder, place: ArtifactsPlace) -> None:
        """Takes the study and where it is kept; nothing is asked yet."""
        self.patience_seconds = _SECONDS_PER_TRY * place.s3.tries
        self._near = folder.near
        self._address = place.address
        self._resume = folder.command("resume")
        # Tried again here, where it is told, and not in the client.
        settings = replace(s3_settings(place.s3), tries=1)
        self._store = WritableS3(settings, "storage.artifacts", "storage.s3")
        self._bucket, prefix = split_address(place.address)
        self._prefix = f"{prefix}/{folder.name}/" if prefix else f"{folder.name}/"

    def check(self) -> None:
        """Keeps, finds and removes a small file of its own; without patience, for somebody waits."""
        try:
            self._near.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"storage.s3.cache_folder: {self._near.parent} cannot be made: {error.strerror}. Name another one."
            raise StudyError(text) from error
        with NamedTemporaryFile() as file:
            try:
                key = f"{self._prefix}{_PROBE}{_MARK}{_digest(Path(file.name))}"
                self._store.put(self._bucket, key, Path(file.name))
                self._store.find(self._bucket, key)
                self._store.remove(self._bucket, [key])
            except (BrokenTransfer, DataError) as error:
                raise StudyError(self._words(error)) from error

    def keep(self, path: Path) -> None:
        """Uploads the file; once more if it was written anew meanwhile."""
        digest = _digest(path)
        key = f"{self._key(path)}{_MARK}{digest}"
        self._patiently(lambda: self._store.put(self._bucket, key, path))
        if path.is_file() and _digest(path) != digest:
            self.keep(path)

    def fetch(self, path: Path) -> bool:
        """Downloads the file as it was last kept, unless it is here so."""
        for version in self._versions(path):
            digest = _digest_in(version.key)
            if path.is_file() and _digest(path) == digest:
                return True
            if self._downloaded(version, digest, path):
                return True
        return path.is_file()

    def kept(self, folder: Path) -> list[Path]:
        """Lists the objects below a prefix."""
        return sorted({self._path(each.key) for each in self._listed(self._below(folder))})

    def remove(self, paths: Iterable[Path]) -> None:
        """Removes all versions of the files."""
        wanted = set(paths)
        if not wanted:
            return
        shared = Path(os.path.commonpath([path.parent for path in wanted]))
        keys = [each.key for each in self._listed(self._below(shared)) if self._path(each.key) in wanted]
        if keys:
            self._patiently(lambda: self._store.remove(self._bucket, keys))
        for path in wanted:
            path.unlink(missing_ok=True)

    def _downloaded(self, version: S3Object, digest: str, path: Path) -> bool:
        """Brings an object to its place; tells whether it is there still, and its content is what it should be."""
        fresh = path.with_name(f".{path.name}.{digest[:16]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.with_name(f".{path.name}.lock")):
            try:
                self._patiently(lambda: download(self._store, version, fresh))
            except StorageLost:
                if version in self._versions(path):
                    raise
                return False  # it was removed in between, or written anew
            if _digest(fresh) == digest:
                fresh.replace(path)
                return True
            fresh.unlink()
        text = f"{version.address}: this object is damaged (its SHA-256 is another one) and is not used."
        warnings.warn(f"{text} Remove it if the server is sound.", stacklevel=3)
        return False

    def _versions(self, path: Path) -> list[S3Object]:
        """Returns the objects of a file, the last one first."""
        return sorted(self._listed(f"{self._key(path)}{_MARK}"), key=lambda each: each.modified, reverse=True)

    def _listed(self, prefix: str) -> list[S3Object]:
        found = self._patiently(lambda: self._store.listed(self._bucket, prefix, may_mend=True))
        marked = [each for each in found.values() if _MARK in each.key]
        inside = self._near.resolve()
        strange = [each for each in marked if not self._stays_below(each.key, inside)]
        for each in strange:
            text = f"{each.address}: this object's name leads out of the study's folder, or is none that we give."
            warnings.warn(f"{text} It is not used; whoever else writes into this bucket made it.", stacklevel=3)
        return [each for each in marked if each not in strange]

    def _stays_below(self, key: str, inside: Path) -> bool:
        """Tells whether an object's place lies in the study's folder: whoever writes into the bucket names objects."""
        parts = key.removeprefix(self._prefix).rpartition(_MARK)[0].split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or not _DIGEST.fullmatch(_digest_in(key)):
            return False
        return self._path(key).resolve().is_relative_to(inside)

    def _key(self, path: Path) -> str:
        return f"{self._prefix}{path.relative_to(self._near).as_posix()}"

    def _below(self, folder: Path) -> str:
        return self._prefix if folder == self._near else f"{self._key(folder)}/"

    def _path(self, key: str) -> Path:
        return self._near / key.removeprefix(self._prefix).rpartition(_MARK)[0]

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Returns what `work` returns, tried again for a while where that may help.

        Raises:
            StorageLost: It cannot be done, or not for too long.
        """
        until, pause = time.monotonic() + self.patience_seconds, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return work()
            except DataError as error:
                raise self._lost(error) from error
            except BrokenTransfer as error:
                if time.monotonic() > until:
                    raise self._lost(error) from error
                if pause == _FIRST_PAUSE_SECONDS:
                    _logger.warning("%s Trying again for %.0f seconds.", self._words(error), self.patience_seconds)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _lost(self, error: Exception) -> StorageLost:
        return StorageLost(f"{self._words(error)} Nothing is lost: once it can, go on with `{self._resume}`.")

    def _words(self, error: Exception) -> str:
        why = str(error) if isinstance(error, DataError) else f"{error}. Check storage.s3.endpoint and the network."
        return f"{self._address} cannot be used: {why}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process of the node at a time bring a file."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_in(key: str) -> str:
    return key.rpartition(_MARK)[2]
