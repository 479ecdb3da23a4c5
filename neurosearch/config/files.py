"""Files and folders that a config names: where they stand in it, and from where they may be.

On a cluster that several people use, `NEUROSEARCH_DATA_ROOTS` says from which folders a config may take them.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from neurosearch.config.base import Path, Problem, dotted
from neurosearch.config.weights import split_pin
from neurosearch.config.yaml_source import Source

ROOTS = "NEUROSEARCH_DATA_ROOTS"
#: Keys of each searched section that name files or folders.
_KEYS = {"data": frozenset({"path", "train_list", "test_list", "ca_bundle"}), "model": frozenset({"weights"})}
_SQLITE = "sqlite:///"


def with_files(values: Mapping[str, Any], of: Callable[[str, Path], str]) -> dict[str, Any]:
    """Returns values in which `of` has replaced every file of the searched sections, given its text and its path.

    Search nodes over files are gone through; addresses such as `s3://` ones are no files.
    """

    def replaced(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: item if key == "search" else replaced(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, (*path, index)) for index, item in enumerate(value)]
        if _KEYS[str(path[0])].isdisjoint(path) or not isinstance(value, str) or not value or "://" in value:
            return value
        return of(value, path)

    found = {name: values[name] for name in _KEYS if isinstance(values.get(name), dict)}
    return {**values, **{name: replaced(section, (name,)) for name, section in found.items()}}


def root_problems(source: Source) -> tuple[Problem, ...]:
    """Returns what a config names outside the folders that this machine allows; nothing where it allows all."""
    if not os.environ.get(ROOTS):
        return ()
    found: dict[Path, str] = {}

    def note(file: str, path: Path) -> str:
        found[path] = split_pin(file)[0]
        return file

    with_files(source.values, note)
    found.update(_stored_in(source.values))
    told = ((path, outside(file)) for path, file in found.items())
    return tuple(Problem(source.place(path), dotted(path), why) for path, why in told if why is not None)


def outside(file: str) -> str | None:
    """Returns in words that a file may not be used here; None where it may. Links are followed first."""
    roots = [FilePath(root) for root in os.environ.get(ROOTS, "").split(os.pathsep) if root]
    whole = FilePath(os.path.expandvars(file)).expanduser().resolve()
    if not roots or any(whole.is_relative_to(root.resolve()) for root in roots):
        return None
    return (
        f"{file} lies outside the folders that a config may name on this machine ({ROOTS} is "
        f"{os.pathsep.join(map(str, roots))}). Put it into one of them, or have that one added."
    )


def _stored_in(values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yields where a study is kept, if that is a file or folder: whoever may not read elsewhere may not write there."""
    storage = values.get("storage")
    if not isinstance(storage, dict):
        storage = {}
    folder, database = storage.get("folder", "runs"), storage.get("database")
    if isinstance(folder, str):
        yield ("storage", "folder"), folder
    if isinstance(database, str) and database.startswith(_SQLITE):
        yield ("storage", "database"), database.removeprefix(_SQLITE)
