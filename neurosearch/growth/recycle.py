"""Re-initialise dormant neurons in place, at constant size.

By activation: ReDo (arXiv:2302.12902, eq. 1): a neuron's mean |activation| divided by its layer's mean; dormant at or
below a threshold. By gradient: GraMa (arXiv:2505.24061): the same of a neuron's gradient, here the norm over all that
belongs to the neuron. As in ReDo, incoming weights are drawn anew and outgoing ones are 0, so what the others compute
stays; a neuron that was not quite silent takes its small part along. The optimizer's moments of the new one are 0.

Our reading: both papers look at a reinforcement learner's last batch, we at class-balanced training examples; both
recycle all that is dormant, we at most a share of the layer at once. A recycled neuron becomes the last one of its
group; the order of neurons means nothing.
"""

from dataclasses import dataclass

from torch import Tensor

from neurosearch import names
from neurosearch.epochs import epochs_within
from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.growth.resizing import NONE, changing, least_important, whole_share
from neurosearch.growth.untrained import UntrainedSizes
from neurosearch.neurons import Group, grow, growth_refusals, prune


@dataclass(frozen=True)
class RecycleSettings:
    """When, which and how many.

    Attributes:
        period_epochs: Epochs from one look at the neurons to the next; the first comes after so many epochs.
        measure: `activation` or `gradient` (see `neurons.importance`).
        threshold: A neuron is dormant whose measure is at most so many times its group's mean.
        largest_share: Largest share of a group that is recycled at once, the most dormant first; at least one neuron
            may be, or a pair of them.
        stop_share: Share of the training's epochs after which none is recycled.
        start: How a recycled neuron begins (see `neurons.grow`).
        copy_noise: Of noisy copies, in units of their incoming weights' root mean square.
    """

    period_epochs: int
    measure: str
    threshold: float
    largest_share: float
    stop_share: float
    start: str
    copy_noise: float


class RecyclePolicy(UntrainedSizes):
    """Replaces dormant neurons by fresh ones; every size stays what it is at every moment.

    Everything follows from the clock and the scores, so there is no state.
    """

    def __init__(self, settings: RecycleSettings) -> None:
        self._settings = settings

    def due(self, clock: Clock) -> Need | None:
        """Return the measure, at the end of every period before the stop."""
        settings = self._settings
        if not clock.epoch_ended or clock.epoch == 0 or clock.epoch % settings.period_epochs:
            return None
        if clock.epoch > epochs_within(settings.stop_share, clock.epochs) or clock.epoch == clock.epochs:
            return None
        return Need(scores=settings.measure, head_scores=False, directions=None)

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return one decision that prunes the dormant neurons and grows as many."""
        assert snapshot.scores is not None
        settings = self._settings
        dormant = {group.name: self._dormant(snapshot.scores[group.name]) for group in snapshot.units.groups}
        allowed = changing(snapshot, settings.start)
        removed = {
            group.name: least_important(snapshot.scores[group.name], self._count(group, dormant[group.name]), NONE)
            for group in snapshot.units.groups
            if group.name in allowed
        }
        plan = prune(snapshot.units, removed)
        counts = {name: len(positions) for name, positions in removed.items()}
        units, generator = plan.units_after(snapshot.units), snapshot.generator
        plan = plan.combine(grow(units, counts, settings.start, generator=generator, noise=settings.copy_noise))
        reason = f"dormant by {settings.measure}, recycled"
        counted = {names.DEAD_NEURONS: float(sum(dormant.values()))}
        refused = growth_refusals(snapshot.units, settings.start)
        return (Decision(plan, reason, fold=None, counts=counted, left_alone=refused),)

    def _dormant(self, scores: Tensor) -> int:
        """Return how many neurons of a group are dormant; all of them, where none does anything."""
        mean = scores.double().mean()
        return int((scores.double() <= self._settings.threshold * mean).sum())

    def _count(self, group: Group, num_dormant: int) -> int:
        """Return how many of a group's dormant neurons are recycled now."""
        portion = 2 if self._settings.start == "symmetric_pair" else 1
        largest = max(portion, whole_share(self._settings.largest_share, group.size))
        count = min(num_dormant, largest, group.size - group.minimum)
        return count - count % portion
