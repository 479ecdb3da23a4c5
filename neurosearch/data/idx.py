"""MNIST's own file format: a header that says type and shape, then the values."""

from math import prod

import numpy as np
import numpy.typing as npt

_UNSIGNED_BYTE = 0x08


def read_idx(content: bytes) -> npt.NDArray[np.uint8]:
    """Return the array of an idx file of unsigned bytes, the only type that MNIST and its kin use.

    Raises:
        ValueError: If the bytes are not such a file, or not all of it.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise ValueError("it is no idx file of unsigned bytes")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError("it ends within its header")
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if len(content) != start + prod(shape):
        raise ValueError(f"its header says {' x '.join(map(str, shape))}, which its {len(content)} bytes do not hold")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
