"""Data that lies in a bucket: images that lists name, the lists, and archives, each read from the node's cache."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from neurosearch.data.arrays import ArraySource, RawArrays
from neurosearch.data.object_cache import ObjectCache
from neurosearch.data.problems import DataError, Problem
from neurosearch.data.s3 import S3Object, S3Settings, S3Store


class BucketImages:
    """Images below a prefix of a bucket; the whole prefix is listed once, when it is first needed.

    Args:
        settings: How the server is reached.
        cache_folder: Where fetched objects are kept on this node.
        bucket: The bucket.
        prefix: What all keys begin with; a slash is put behind it if there is none.
    """

    are_near = False

    def __init__(self, settings: S3Settings, cache_folder: Path, bucket: str, prefix: str) -> None:
        self._store = S3Store(settings, "data.path")
        self._cache = ObjectCache(cache_folder, self._store)
        self._bucket = bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""

    @property
    def root(self) -> str:
        """Return the address that names start from."""
        return f"s3://{self._bucket}/{self._prefix}"

    def check_root(self) -> None:
        """Refuse a prefix that no object has."""
        if not self._objects:
            text = f"no object's address begins with {self.root}. Give the one that the paths in the lists start from."
            raise DataError([Problem("data.path", text)])

    def place(self, name: str) -> str:
        """Return the address of a named image; `find` writes ./ before names, which mean the same without."""
        return f"{self.root}{name.removeprefix('./')}"

    def is_there(self, place: str) -> bool:
        """Return whether there is such an object."""
        return place in self._objects

    def stamps(self, places: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Yield ETag and size of every image."""
        return ((self._objects[place].etag, self._objects[place].size) for place in places)

    def near(self, places: Iterable[str]) -> Sequence[str]:
        """Return the files that the images are kept in, after fetching what is missing."""
        return self._cache.fetch([self._objects[place] for place in places])

    @cached_property
    def _objects(self) -> dict[str, S3Object]:
        return {each.address: each for each in self._store.listed(self._bucket, self._prefix).values()}


def fetch_file(settings: S3Settings, cache_folder: Path, bucket: str, key: str, field: str) -> Path:
    """Return the node's file of one object, fetched if it is not here.

    Args:
        settings: How the server is reached.
        cache_folder: Where fetched objects are kept on this node.
        bucket: Its bucket.
        key: Its key.
        field: The config field that names it.

    Raises:
        DataError: If it is not there, cannot be read, or its transfer keeps breaking.
    """
    store = S3Store(settings, field)
    return Path(ObjectCache(cache_folder, store).fetch([store.find(bucket, key)])[0])


class FetchedSource:
    """A source that reads one file, which is fetched first.

    Args:
        address: Of the object, as the user wrote it.
        fetch: Returns the node's file of it.
        source: Makes the source of that file.
    """

    def __init__(self, address: str, fetch: Callable[[], Path], source: Callable[[Path], ArraySource]) -> None:
        self._address = address
        self._fetch = fetch
        self._source = source

    @cached_property
    def _path(self) -> Path:
        return self._fetch()

    def identity(self) -> str:
        """Return the identity of the fetched file, whose name changes with the object's content."""
        return self._source(self._path).identity()

    def load(self) -> RawArrays:
        """Return the arrays; what is wrong with them, or not used, is told under the object's address."""
        path = self._path
        try:
            raw = self._source(path).load()
        except DataError as error:
            problems = [Problem(field, self._told(text, path)) for field, text in error.problems]
            raise DataError(problems) from error
        return replace(raw, notes=tuple(self._told(note, path) for note in raw.notes))

    def _told(self, text: str, path: Path) -> str:
        return text.replace(str(path), self._address)
