"""What a user finds who may read a study and not write it."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NOBODY = 65534


@contextmanager
def readable_folder() -> Iterator[Path]:
    """Gives a folder that every user may reach; those that pytest makes are for its own user alone."""
    path = Path(tempfile.mkdtemp(prefix="readable-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for each in (path, *path.rglob("*")):
            each.chmod(0o755)
        shutil.rmtree(path)


def as_reader(folder: Path, call: Callable[[], Any], hidden: Path | None = None) -> Any:
    """Returns what a call returns, fit for JSON, in a process that may read all of a folder and write nothing of it.

    Rights mean nothing to root, so a process of root becomes nobody.

    Args:
        folder: A `readable_folder`.
        call: What is called; of an error its kind and text are returned.
        hidden: A file that may not even be read.
    """
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0o000 if each == hidden else 0o444)
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: this one takes no lock of theirs
        child = os.fork()
    if not child:
        _answer(theirs, call)
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def _answer(pipe: int, call: Callable[[], Any]) -> None:
    try:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        text = json.dumps(call())
    except BaseException as error:  # noqa: BLE001  # told to the test, which expects something else
        text = json.dumps(f"{type(error).__name__}: {error}")
    os.write(pipe, text.encode())
    os._exit(0)
