"""Where the states of a training are kept, so that it can stop at any moment and go on.

A state is one file: a line that names the format, the SHA-256 of the rest, and the rest: `torch.save` of a plain dict.
One file and not two, so that a state and its digest appear at once, by a rename.
"""

import hashlib
import io
import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

_MAGIC = b"neurosearch checkpoint 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)\.pt")


class DamagedCheckpointError(ValueError):
    """A checkpoint file is not what was written."""


def encode(payload: dict[str, Any]) -> bytes:
    """Return the bytes of a checkpoint file that holds `payload`: plain values and tensors."""
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    body = buffer.getvalue()
    return _MAGIC + hashlib.sha256(body).digest() + body


def decode(content: bytes) -> dict[str, Any]:
    """Return the payload of a checkpoint file, its tensors on the CPU.

    Raises:
        DamagedCheckpointError: The content does not start like a checkpoint, or its digest does not fit.
    """
    if not content.startswith(_MAGIC):
        msg = f"it does not start with {_MAGIC.decode().strip()!r}"
        raise DamagedCheckpointError(msg)
    start = len(_MAGIC) + _DIGEST_BYTES
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(_MAGIC) : start]:
        msg = "its SHA-256 digest does not fit its content"
        raise DamagedCheckpointError(msg)
    try:
        payload: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # a whole file with something that is not plain values
        msg = "it holds something else than plain values and tensors"
        raise DamagedCheckpointError(msg) from error
    return payload


def checkpoint_name(epoch: int) -> str:
    """Return the name of the file that holds the state after so many whole epochs."""
    return f"checkpoint-{epoch:06d}.pt"


class FolderCheckpointStore:
    """Keeps the last two states as files `checkpoint-000012.pt` in a folder; a `training.seams.CheckpointStore`."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made at the first `save`."""
        self._folder = folder

    def save(self, epoch: int, payload: dict[str, Any]) -> None:
        """Write the state under a temporary name and rename it.

        Raises:
            OSError: The disk is full or the folder cannot be written; the states before are untouched.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / checkpoint_name(epoch)
        # A worker whose node was lost may still write while another goes on in its place.
        temporary = path.with_suffix(f".pt.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                # Not forced to the disk: that takes longer than a small network's epoch. A kill loses nothing by it; a
                # power cut may cost the newest states, which the digest then finds out.
                file.write(encode(payload))
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)

    def load_newest(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, or None; a damaged file is passed over with a warning that names it."""
        for path in self._newest_first():
            try:
                return decode(path.read_bytes())
            except DamagedCheckpointError as damage:
                warnings.warn(
                    f"{path}: this checkpoint is damaged ({damage}) and is not used; the training goes on from the one "
                    "before it. Delete the file if the disk is sound.",
                    stacklevel=2,
                )
        return None

    def _newest_first(self) -> list[Path]:
        numbered = [(int(match[1]), path) for path in self._folder.glob("*") if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(numbered, reverse=True)]


class MemoryCheckpointStore:
    """Keeps the last two states as bytes in memory; the fake for tests, and for trainings that need not survive."""

    def __init__(self) -> None:
        self._states: dict[int, bytes] = {}

    def save(self, epoch: int, payload: dict[str, Any]) -> None:
        """Keep a copy of the state."""
        self._states[epoch] = encode(payload)
        for old in sorted(self._states)[:-_KEPT]:
            del self._states[old]

    def load_newest(self) -> dict[str, Any] | None:
        """Return a copy of the newest state, or None."""
        return decode(self._states[max(self._states)]) if self._states else None
