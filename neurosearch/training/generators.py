"""The generators that PyTorch's layers draw from by themselves, such as dropout's."""

import torch


def seed_global_generator(seed: int, device: torch.device) -> None:
    """Seed the CPU's global generator and, for a CUDA device, that device's.

    `torch.manual_seed` seeds the generators of all kinds of devices; where CUDA is not in use it formats a stack trace
    and keeps it for later at every call, which costs more than a step of a small network and grows without bound.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
