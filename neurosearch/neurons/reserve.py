"""A reserve: the values of all units that a network may have, of those that are not there now, too.

With it a unit that goes comes back as it went, and a unit that comes for the first time is the one that a network of
the largest widths would have had from the start.
"""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from neurosearch.neurons.anatomy import anatomy_of
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.plan import grow
from neurosearch.neurons.surgery import apply_plan
from neurosearch.neurons.units import FIXED, Units


class Reserve:
    """The tensors of a network at its largest widths, on the CPU; units come and go at the end of their group.

    Attributes:
        groups: Names of the groups whose units come and go; without any, the reserve is empty.

    Example:
        >>> reserve = Reserve(model, units, {"layers.1": 32}, torch.Generator().manual_seed(0))
        >>> reserve.store(model, units, ["layers.1"])
        >>> units = apply_plan(grow(units, {"layers.1": 2}, start="gated"), model)
        >>> reserve.restore(model, units, ["layers.1"])
    """

    def __init__(self, model: nn.Module, units: Units, largest: Mapping[str, int], generator: torch.Generator) -> None:
        """Take in a network as it is, and draw the units that it may get beside its own.

        Args:
            model: The network; unchanged.
            units: Its units.
            largest: Largest size of each group that comes and goes, by name.
            generator: Draws the values of units beyond the network's own: random ones on both sides.
        """
        more = {g.name: largest[g.name] - g.size for g in units.groups if largest.get(g.name, 0) > g.size}
        if more:
            model = copy.deepcopy(model)
            units = apply_plan(grow(units, more, start="gated", generator=generator), model)
        self.groups = tuple(largest)
        self._units = units
        tensors = anatomy_of(plain_model(model)).tensors
        self._tensors = {name: tensors[name].detach().cpu().clone() for name in self._names(largest)}

    def store(self, model: nn.Module, units: Units, groups: Iterable[str]) -> None:
        """Note the values that units of some groups have now, and what else lies in the same tensors."""
        tensors = anatomy_of(plain_model(model)).tensors
        for name in self._names(groups):
            self._tensors[name][self._places(name, units)] = tensors[name].detach().cpu()

    def restore(self, model: nn.Module, units: Units, groups: Iterable[str]) -> None:
        """Give all units of some groups, and what else lies in the same tensors, the values that were noted last."""
        tensors = anatomy_of(plain_model(model)).tensors
        with torch.no_grad():
            for name in self._names(groups):
                tensors[name].copy_(self._tensors[name][self._places(name, units)])

    def state_dict(self) -> dict[str, Tensor]:
        """Return the values."""
        return dict(self._tensors)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on with stored values."""
        for name, tensor in self._tensors.items():
            tensor.copy_(state[name])

    def _names(self, groups: Iterable[str]) -> list[str]:
        """Return the tensors that hold a part of a unit of these groups, each once."""
        layout = self._units.layout
        return list(dict.fromkeys(part.tensor for name in groups for part in layout.slices[layout.index[name]]))

    def _places(self, name: str, units: Units) -> tuple[Tensor, ...]:
        """Return where in the reserve's tensor the units that are there lie, one index for each dimension."""
        dimensions = units.layout.tensors[name]
        places = []
        for index, blocks in enumerate(dimensions):
            start, found = 0, []
            for group, repeat in blocks:
                size, largest = (1, 1) if group == FIXED else (units.sizes[group], self._units.sizes[group])
                found.append(start + torch.arange(repeat * size))
                start += repeat * largest
            shape = [-1 if other == index else 1 for other in range(len(dimensions))]  # broadcast to all combinations
            places.append(torch.cat(found).view(shape))
        return tuple(places)
