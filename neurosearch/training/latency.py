"""How long a network takes to answer, measured where it is."""

import statistics
from time import perf_counter

import torch
from torch import Tensor

from neurosearch.training.network import Forward

_WARM_UP, _PASSES = 3, 21


def measure_latency(forward: Forward, example: Tensor) -> float:
    """Return the median time of one forward pass, in seconds.

    Args:
        forward: The network, ready for evaluation.
        example: One example, on the network's device.
    """
    seconds = []
    with torch.inference_mode():
        for _ in range(_WARM_UP + _PASSES):
            started = perf_counter()
            forward(example)
            if example.is_cuda:
                torch.cuda.synchronize(example.device)
            seconds.append(perf_counter() - started)
    return statistics.median(seconds[_WARM_UP:])
