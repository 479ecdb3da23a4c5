"""The control: no neuron comes or goes."""

from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.growth.untrained import UntrainedSizes


class StaticPolicy(UntrainedSizes):
    """Leaves the network alone; also the seam's fake."""

    def due(self, clock: Clock) -> Need | None:  # noqa: ARG002  the seam's signature
        """Return None: nothing is ever due."""
        return None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:  # noqa: ARG002  the seam's signature
        """Return no decision."""
        return ()
