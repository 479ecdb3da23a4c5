"""Memory for large tensors: in large pages where it is fresh, and the same again where a tensor becomes smaller.

A fresh page costs as much as filling it several times over: writing 400 MB into small pages takes 250 ms, into large
ones 60 ms. NumPy asks the system for large pages, PyTorch does not.
"""

from collections.abc import Sequence
from math import prod
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LARGE_BYTES = 2**22  # where NumPy begins to ask for large pages
_ALIGNMENT = 64  # as PyTorch's own: kernels round differently at other addresses
_rooms: WeakValueDictionary[int, NDArray[Any]] = WeakValueDictionary()  # whole memory of shortened tensors, by address


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return a contiguous tensor without values, of the type and on the device of another one."""
    num_bytes = prod(shape) * like.element_size()
    if like.device.type != "cpu" or num_bytes < _LARGE_BYTES:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    room = np.empty(num_bytes + _ALIGNMENT, dtype=np.uint8)
    offset = -room.ctypes.data % _ALIGNMENT
    return torch.from_numpy(room[offset : offset + num_bytes]).view(like.dtype).view(tuple(shape))


def shortened(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a smaller tensor on the first part of a contiguous one's memory, with a storage that ends where it ends.

    The memory lives as long as either of them. So a file that the smaller tensor is saved to is no larger than it.
    """
    address = tensor.data_ptr()
    room = _rooms.get(address)
    if room is None:
        _rooms[address] = room = tensor.view(-1).view(torch.uint8).numpy()
    num_bytes = prod(shape) * tensor.element_size()
    return torch.from_numpy(room[:num_bytes]).view(tensor.dtype).view(tuple(shape))


def num_bytes_held(tensor: Tensor) -> int:
    """Return how much memory lives as long as a tensor that begins where its memory begins."""
    room = _rooms.get(tensor.data_ptr())
    return int(tensor.untyped_storage().nbytes() if room is None else room.nbytes)


class Room:
    """Memory for what is on its way, used again and again: what lies in it is gone with the next call."""

    def __init__(self) -> None:
        self._bytes = torch.empty(0, dtype=torch.uint8)

    def of(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a contiguous tensor without values, of the type and on the device of another one."""
        num_bytes = prod(shape) * like.element_size()
        if len(self._bytes) < num_bytes or self._bytes.device != like.device:
            self._bytes = empty((num_bytes,), torch.empty(0, dtype=torch.uint8, device=like.device))
        return self._bytes[:num_bytes].view(like.dtype).view(tuple(shape))
