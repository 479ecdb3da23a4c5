"""Tells an allocation that did not fit from every other error, and says in words what was asked for and by whom."""

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from neurosearch.training.records import TrialFailed

#: What a process takes of a GPU before its first tensor, an estimate: the driver's context and the libraries' kernels.
CONTEXT_BYTES = 700 * 2**20
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}
# PyTorch raises a plain RuntimeError for the CPU, numpy a MemoryError, CUDA's libraries what they like.
_MARKS = (
    "DefaultCPUAllocator",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Unable to allocate",
)
_ASKED = re.compile(r"(?:tried to allocate|Unable to allocate)\s+([\d.]+)\s+(bytes|[KMGTPE]iB)", re.IGNORECASE)


class OutOfMemory(TrialFailed):
    """A training asked for memory that it did not get; with more of it, it could go on from its last checkpoint."""


def is_out_of_memory(error: BaseException) -> bool:
    """Says whether an error means that an allocation failed, on whichever device and by whichever library."""
    if isinstance(error, MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _MARKS)


def bytes_asked(error: BaseException) -> int | None:
    """Returns how many bytes an allocation that failed had asked for; None if the error does not say."""
    found = _ASKED.search(str(error))
    return None if found is None else int(float(found[1]) * _UNITS[_unit(found[2])])


def shortage_words(error: BaseException, network: str | None) -> str:
    """Returns what a user should hear about an allocation that failed.

    Args:
        error: The error.
        network: The network at that moment, in words; None if there was none yet.
    """
    asked = bytes_asked(error)
    wanted = "for memory" if asked is None else f"for {in_words(asked)}"
    holder = "before there was a network" if network is None else f"with a network of {network}"
    return (
        f"memory ran out: the training asked {wanted} {holder}. Lower training.batch_size, the widths, how much "
        "growth.* may add, or search.concurrency; or give each trial more of a GPU by search.gpus_per_trial."
    )


def in_words(num_bytes: float) -> str:
    """Returns a number of bytes as people read it, such as `1.5 GiB`."""
    unit = next(name for name, size in reversed(_UNITS.items()) if num_bytes >= size or size == 1)
    return f"{num_bytes / _UNITS[unit]:.3g} {unit}" if unit != "bytes" else f"{num_bytes:.0f} bytes"


@contextmanager
def telling_shortage(network: Callable[[], str]) -> Iterator[None]:
    """Turns an allocation that fails in the block into `OutOfMemory`, with the network's size at that moment.

    What the failed step had computed is let go, so whoever handles the new error finds the memory free.

    Args:
        network: Describes the network; asked only when memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, TrialFailed) or not is_out_of_memory(error):
            raise
        words = shortage_words(error, network())
        traceback.clear_frames(error.__traceback__)
        raise OutOfMemory(words) from error


def limit_gpu_share(share: float) -> None:
    """Lets this process take at most a share of the current GPU's memory, its context included.

    What trials before have left in the process's cache is given back first.

    Args:
        share: In (0, 1].
    """
    import torch

    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties().total_memory
    torch.cuda.set_per_process_memory_fraction(max(share - CONTEXT_BYTES / total, 0.01))


def _unit(text: str) -> str:
    return next(name for name in _UNITS if name.lower() == text.lower())
