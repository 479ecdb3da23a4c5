"""A file of pretrained weights as the config names it: its path, and after loading also the hash of its content.

A study says by hash what its trials start from: a file that changes under a running or stored study is found out.
"""

import hashlib
from pathlib import Path

SUFFIXES = (".safetensors", ".pt", ".pth")
_MARK = "#sha256="
_DIGITS = 64


def pinned(path: str) -> str:
    """Returns the path with the hash of the file's content; one that carries a hash already stays as it is.

    Raises:
        OSError: If the file cannot be read.
    """
    if split_pin(path)[1] is not None:
        return path
    with Path(path).open("rb") as file:
        return with_pin(path, hashlib.file_digest(file, "sha256").hexdigest())


def with_pin(path: str, digest: str) -> str:
    """Returns the path with a hash that is known already."""
    return f"{path}{_MARK}{digest}"


def split_pin(text: str) -> tuple[str, str | None]:
    """Returns path and hash of what `pinned` returned; None for a path without one."""
    path, mark, digest = text.rpartition(_MARK)
    is_pinned = mark and len(digest) == _DIGITS and set(digest) <= set("0123456789abcdef")
    return (path, digest) if is_pinned else (text, None)
