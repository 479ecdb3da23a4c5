"""Where single units lie in one dimension of one tensor.

Shape letters: u units, p positions of one unit in one dimension.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from neurosearch.neurons.units import FIXED, Slice, Units


def positions_of(units: Units, part: Slice, group: int) -> Callable[[Tensor], Tensor]:
    """Return a function from unit numbers `(u,)` of a group to their positions `(u, p)`."""
    starts = []
    offset = 0
    for block in units.layout.tensors[part.tensor][part.dimension]:
        if block.group == group:
            starts.append((offset, block.repeat))
        offset += block.repeat if block.group == FIXED else block.repeat * units.sizes[block.group]

    def positions(numbers: Tensor) -> Tensor:
        return torch.cat([start + numbers[:, None] * repeat + torch.arange(repeat) for start, repeat in starts], dim=1)

    return positions
