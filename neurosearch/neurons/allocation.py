"""Memory for large tensors that is made available in large pages.

A fresh page costs as much as filling it several times over: writing 400 MB into small pages takes 250 ms, into large
ones 60 ms. NumPy asks the system for large pages, PyTorch does not.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

_LARGE_BYTES = 2**22  # where NumPy begins to ask for large pages
_ALIGNMENT = 64  # as PyTorch's own: kernels round differently at other addresses


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return a contiguous tensor without values, of the type and on the device of another one."""
    num_bytes = prod(shape) * like.element_size()
    if like.device.type != "cpu" or num_bytes < _LARGE_BYTES:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    room = np.empty(num_bytes + _ALIGNMENT, dtype=np.uint8)
    offset = -room.ctypes.data % _ALIGNMENT
    return torch.from_numpy(room[offset : offset + num_bytes]).view(like.dtype).view(tuple(shape))
