"""What is known of data that networks were trained on: enough to know it again, or to say how it has changed.

A source is known by its key, which is cheap to tell and changes with its place and time. Where the key is another one,
the content decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neurosearch.data.arrays import RawArrays
from neurosearch.data.manifest import Manifest, read_manifest
from neurosearch.data.problems import DataError, Problem


@dataclass(frozen=True)
class Known:
    """Data that was prepared before.

    Attributes:
        keys: Names of the folders that hold it, or held it; any of them is as good. The sources of these keys had its
            content.
        data_hash: sha256 of the content.
    """

    keys: tuple[str, ...]
    data_hash: str

    def manifest(self, folder: Path) -> Manifest | None:
        """Return what is known of the data that lies below a folder; None where it does not lie there."""
        for key in self.keys:
            try:
                return read_manifest(folder / key)
            except DataError:
                continue
        return None


def changed(how: str) -> DataError:
    """Return the error that says that the source of a study has changed, how, and what to do."""
    text = (
        f"the source has changed since trials of the study were trained on it: {how}. Networks trained on the one do "
        "not compare with those trained on the other. Restore the source as it was, or give a study of the new data "
        "another name."
    )
    return DataError([Problem("data", text)])


def differences(before: Manifest | None, now: RawArrays, *, is_thinned: bool) -> str:
    """Return in words how a source has changed.

    Args:
        before: What trials were trained on; None where that is not here any more.
        now: What the source holds.
        is_thinned: Whether the training part is thinned, so that its length says nothing.
    """
    if before is None:
        return "other content"
    return ", ".join(_differences(before, now, is_thinned)) or "other values, in arrays of the same shapes"


def _differences(before: Manifest, now: RawArrays, is_thinned: bool) -> Iterator[str]:
    if len(now.class_names) != len(before.class_names):
        yield f"{len(now.class_names)} classes instead of {len(before.class_names)}"
    elif now.class_names != before.class_names:
        yield "other names of classes"
    if (str(now.x_train.dtype), now.x_train.shape[1:]) != (before.dtype, before.raw_shape):
        yield (
            f"examples of shape {now.x_train.shape[1:]} and type {now.x_train.dtype} instead of {before.raw_shape} and "
            f"{before.dtype}"
        )
    train, test = sum((*before.train_counts, *before.validation_counts)), sum(before.test_counts)
    if len(now.y_train) != train and not is_thinned:
        yield f"{len(now.y_train)} examples to train by instead of {train}"
    if len(now.y_test) != test:
        yield f"{len(now.y_test)} examples to test by instead of {test}"
