"""Reads pickles that hold numpy arrays and plain containers, and nothing else.

CIFAR is published as pickles. Its files are read only after their checksums matched; this is the second bolt: a pickle
can name any function to be called, and here it may name no other than those that numpy writes for an array.
"""

import io
import pickle
from typing import Any

import numpy as np

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # what numpy names in every pickled array; it has no public name
#: What a pickled array names, by numpy 1 (as Python 2 wrote CIFAR's files) and by numpy 2.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read_plain_pickle(content: bytes) -> Any:
    """Return what a pickle holds: dicts, lists, numbers, text and arrays. Text of Python 2 is read as Latin-1.

    Raises:
        ValueError: If it is damaged, or names anything but arrays.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except _RefusedError:
        raise
    except Exception as error:  # damaged bytes raise whatever the operation they happen to spell raises
        raise ValueError(f"it is no whole pickle ({type(error).__name__}: {error})") from error


class _RefusedError(ValueError):
    """A pickle names what no array needs."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what an array is made with; refuse every other name."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"it names {module}.{name}, and pickled objects are never loaded") from None
