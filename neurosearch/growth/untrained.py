"""What policies have in common that decide sizes by rule and not by gradient descent."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurosearch.growth.policy import Decision, Need, Snapshot
from neurosearch.neurons import Units


class UntrainedSizes:
    """The part of a growth policy about trained sizes and the end, for policies without them and without a state."""

    def attach(self, units: Units, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:
        """Do nothing: every snapshot brings the base sizes along."""

    def finish_need(self) -> Need | None:
        """Return None: nothing is left to do after the last step."""
        return None

    def finish(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return no decision; the network has its base sizes."""
        assert self.at_rest(snapshot.units, snapshot.base_sizes)
        return ()

    def trained(self) -> list[nn.Parameter]:
        """Return no size weights."""
        return []

    def optimizer_settings(self) -> dict[str, float]:
        """Return no options."""
        return {}

    def columns(self) -> list[nn.Parameter]:
        """Return no columns."""
        return []

    def largest_sizes(self) -> dict[str, int]:
        """Return nothing: a neuron that goes never comes back."""
        return {}

    def gates(self, units: Units) -> dict[str, Tensor]:  # noqa: ARG002  the seam's signature
        """Return no gates."""
        return {}

    def shifts(self, units: Units) -> dict[str, Tensor]:  # noqa: ARG002  the seam's signature
        """Return no shifts."""
        return {}

    def size_loss(self) -> Tensor | None:
        """Return None: sizes are not trained."""
        return None

    def at_rest(self, units: Units, base_sizes: Mapping[str, int]) -> bool:
        """Return whether every group has its base size."""
        return all(group.size == base_sizes[group.name] for group in units.groups)

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: decisions follow from the clock."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing: there is no state."""
