"""Paths that are typed where a command runs, written as a config elsewhere must name them."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from neurosearch.config.files import with_files
from neurosearch.config.s3 import is_on_s3
from neurosearch.config.starter import Starter


def seen_from(folder: Path, starter: Starter) -> tuple[Starter, Mapping[str, str]]:
    """Returns answers whose files are named as seen from a config's folder, and what is named otherwise than before.

    A path starts from where it is typed, unless something lies there only as seen from the folder. What is absolute or
    begins with ~ or $ stays, and so do lists beside images in S3.

    Args:
        folder: Where the config will lie; it need not be there yet.
        starter: The answers as typed.
    """
    moved: dict[str, str] = {}
    is_far = is_on_s3(str(starter.data.get("path", "")))

    def moved_to(value: str, path: tuple[str | int, ...]) -> str:
        is_beside_far = is_far and path[0] == "data" and path[-1] != "ca_bundle" and not value.startswith(".")
        if is_beside_far or value.startswith(("/", "~", "$")):
            return value
        if not Path(value).exists() and (folder / value).resolve().exists():
            return value
        there = os.path.relpath(_absolute(value), folder.resolve())
        if there == os.path.normpath(value):
            return value
        moved[".".join(map(str, path))] = there
        return there

    values = with_files({"data": dict(starter.data), "model": dict(starter.model)}, moved_to)
    return replace(starter, data=values["data"], model=values["model"]), moved


def _absolute(value: str) -> Path:
    """Returns the whole path, with the links in it: they may lead elsewhere when the data is read.

    Not with `..` in it, which leads out of what the link before it leads to.
    """
    path = Path(value)
    return path.resolve() if ".." in path.parts else path.absolute()
