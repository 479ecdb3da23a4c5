"""The size as an input: a trained column of weights by which every neuron of a group sees the group's size.

Shape letters: m neurons of a group at its largest size, n those that it holds.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurosearch.neurons import Units, shift_parameter


class SizeColumns:
    """One column `(m,)` for each group; neuron i sums up size * column[i] beside all else.

    Positions are stable, because neurons come and go at the end of their group.

    Source: arXiv:2501.18012, the first weight of each hidden neuron, which multiplies N.
    """

    def __init__(  # where the columns lie, and how they begin
        self,
        units: Units,
        largest: Mapping[str, int],
        scale: float,
        device: torch.device,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        """Draw the columns, uniform in (-scale, scale).

        Raises:
            SurgeryError: If a group has neither a bias nor a shift that the column could be added to.
        """
        self._columns: dict[str, nn.Parameter] = {}
        for name, size in largest.items():
            shift_parameter(units, name)
            column = torch.empty(size, dtype=torch.float64).uniform_(-scale, scale, generator=generator)
            self._columns[name] = nn.Parameter(column.to(device, dtype))

    @property
    def by_group(self) -> Mapping[str, nn.Parameter]:
        """The columns by group."""
        return self._columns

    def parameters(self) -> list[nn.Parameter]:
        """Return the columns."""
        return list(self._columns.values())

    def shifts(self, units: Units, sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what is added to each neuron, `(n,)` for each group, from the groups' sizes, scalars."""
        held = {group.name: group.size for group in units.groups}
        return {name: sizes[name] * column[: held[name]] for name, column in self._columns.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the columns by group."""
        return {name: column.detach().clone() for name, column in self._columns.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with stored columns."""
        with torch.no_grad():
            for name, column in self._columns.items():
                column.copy_(state[name])
