"""Files and folders that a config names: where they stand in it, and from where they may be.

On a cluster that several people use, `NEUROSEARCH_DATA_ROOTS` says from which folders a config may take them.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import unquote, urlsplit

from neurosearch.config.base import Path, Problem, dotted
from neurosearch.config.s3 import S3Fields, is_on_s3
from neurosearch.config.weights import split_pin
from neurosearch.config.yaml_source import Source

ROOTS = "NEUROSEARCH_DATA_ROOTS"
_Keys = Mapping[str, frozenset[str]]
#: Keys of each section that name files or folders which are read.
_KEYS: _Keys = {
    "data": frozenset({"path", "train_list", "test_list", "ca_bundle"}),
    "model": frozenset({"weights"}),
    "storage": frozenset({"ca_bundle"}),
}
_CACHE = "cache_folder"
_CACHES: _Keys = {"data": frozenset({_CACHE})}
_SQLITE = "sqlite:///"
#: Schemes of tracking addresses behind which there is a server.
_SERVERS = frozenset({"http", "https", "postgresql", "mysql", "mssql"})


def with_files(values: Mapping[str, Any], of: Callable[[str, Path], str], keys: _Keys = _KEYS) -> dict[str, Any]:
    """Returns values in which `of` has replaced every file that is read, given its text and its path.

    Search nodes over files are gone through; what begins with `s3://` is no file.
    """

    def replaced(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: item if key == "search" else replaced(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, (*path, index)) for index, item in enumerate(value)]
        if keys[str(path[0])].isdisjoint(path) or not isinstance(value, str) or not value or is_on_s3(value):
            return value
        return of(value, path)

    found = {name: values[name] for name in keys if isinstance(values.get(name), dict)}
    return {**values, **{name: replaced(section, (name,)) for name, section in found.items()}}


def root_problems(source: Source) -> tuple[Problem, ...]:
    """Returns what a config names outside the folders that this machine allows; nothing where it allows all."""
    if not os.environ.get(ROOTS):
        return ()
    found: dict[Path, str | None] = {}

    def note(file: str, path: Path) -> str:
        found[path] = outside(split_pin(file)[0])
        return file

    def note_cache(folder: str, path: Path) -> str:
        found[path] = _outside_cache(folder)
        return folder

    with_files(source.values, note)
    with_files(source.values, note_cache, _CACHES)
    found.update((path, _beyond(FilePath(file), file)) for path, file in _stored_in(source.values))
    storage_s3 = _section(_section(source.values, "storage"), "s3")
    if isinstance(storage_s3.get(_CACHE), str):
        found["storage", "s3", _CACHE] = _outside_cache(storage_s3[_CACHE])
    return tuple(Problem(source.place(path), dotted(path), why) for path, why in found.items() if why is not None)


def outside(file: str) -> str | None:
    """Returns in words that a file may not be used here; None where it may. Links are followed first."""
    return _beyond(FilePath(os.path.expandvars(file)).expanduser(), file)


def _outside_cache(folder: str) -> str | None:
    """Looks at a cache, in which `~` alone is replaced; the usual one is the machine's choice, not the config's."""
    return None if folder == S3Fields().cache_folder else _beyond(FilePath(folder).expanduser(), folder)


def _beyond(path: FilePath, shown: str) -> str | None:
    roots = [FilePath(root) for root in os.environ.get(ROOTS, "").split(os.pathsep) if root]
    whole = path.resolve()
    if not roots or any(whole.is_relative_to(root.resolve()) for root in roots):
        return None
    return (
        f"{shown} lies outside the folders that a config may name on this machine ({ROOTS} is "
        f"{os.pathsep.join(map(str, roots))}). Put it into one of them, or have that one added."
    )


def _stored_in(values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yields where a study is kept and told, and where an earlier one is read, if that is a file or folder.

    Whoever may not read elsewhere may not write there.
    """
    storage, earlier = _section(values, "storage"), _section(_section(values, "search"), "warm_start")
    folder, database = storage.get("folder", "runs"), storage.get("database")
    if isinstance(folder, str):
        yield ("storage", "folder"), folder
    if isinstance(database, str) and database.startswith(_SQLITE):
        yield ("storage", "database"), database.removeprefix(_SQLITE)
    tracked = _tracked_in(_section(values, "tracking").get("uri"))
    if tracked is not None:
        yield ("tracking", "uri"), tracked
    root, name = earlier.get("folder") or folder, earlier.get("study")
    if isinstance(root, str) and isinstance(name, str):
        key = "folder" if earlier.get("folder") else "study"
        yield ("search", "warm_start", key), os.path.join(root, name)  # noqa: PTH118  # a name may lead elsewhere, too


def _tracked_in(uri: Any) -> str | None:
    """Returns the file or folder that a tracking address names; None for a server. What is no known one is a file."""
    if not isinstance(uri, str) or not uri:
        return None
    scheme = uri.partition(":")[0].partition("+")[0].lower()
    if scheme == "sqlite":
        # SQLAlchemy takes options behind a question mark, and hands file: names to SQLite, which decodes them.
        name = uri.partition("///")[2].partition("?")[0]
        return unquote(name.removeprefix("file:")) if name.startswith("file:") else name
    if scheme == "file":
        return unquote(urlsplit(uri).path)
    return None if scheme in _SERVERS and "://" in uri else uri


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}
