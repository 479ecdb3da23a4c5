"""The policy: it is asked after every step whether it is due, and answers with plans; neurosearch applies them.

`UntrainedSizes` answers everything about sizes that are trained. What a policy must offer in full is the protocol
`neurosearch.training.seams.GrowthPolicy`.
"""

from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.growth.untrained import UntrainedSizes
from neurosearch.neurons import grow, growth_refusals, prune

_START = "zero_outgoing"  # newcomers change nothing at first
_IMPORTANCE = "taylor"


class OncePolicy(UntrainedSizes):
    """Grows once and prunes once; decisions follow from the clock, so there is no state to keep."""

    def __init__(self, grow_epoch: int, prune_epoch: int, grow_share: float) -> None:
        self._grow_epoch = grow_epoch
        self._prune_epoch = prune_epoch
        self._share = grow_share

    def due(self, clock: Clock) -> Need | None:
        """Say what a decision needs: nothing to grow, importance to prune."""
        if not clock.epoch_ended:
            return None
        if clock.epoch == self._grow_epoch:
            return NOTHING
        return Need(_IMPORTANCE, head_scores=False, directions=None) if clock.epoch == self._prune_epoch else None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the change of every group that can grow exactly; why the others cannot is told in the record."""
        units, refused = snapshot.units, growth_refusals(snapshot.units, _START)
        groups = [group for group in units.groups if group.name not in refused]
        if snapshot.clock.epoch == self._grow_epoch:
            more = {each.name: max(1, round(self._share * each.size)) for each in groups}
            plan = grow(units, more, start=_START, generator=snapshot.generator)
            return (Decision(plan, "once", fold=None, left_alone=refused),)
        assert snapshot.scores is not None, "asked for in due"
        gone = {}
        for each in groups:
            ranked = snapshot.scores[each.name].argsort()  # the least important first
            gone[each.name] = ranked[: each.size - snapshot.base_sizes[each.name]].tolist()
        return (Decision(prune(units, gone), "back to the configured width", fold=None),)
