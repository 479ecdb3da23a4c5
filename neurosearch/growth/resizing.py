"""From sizes to decisions: what policies share that change every group by a share of its base size."""

from collections.abc import Mapping

import torch
from torch import Tensor

from neurosearch.growth.policy import NOTHING, Decision, Need, Snapshot
from neurosearch.neurons import grow, prune


def size_at(share: float, base_size: int, start: str) -> int:
    """Return the size of a group that is to have `1 + share` times its base size.

    Any share but 0 changes the size by at least one neuron, and no share takes the last neuron. Size is a function of
    the share alone, so whatever was added and removed on the way, share 0 is exactly the base size.

    Args:
        share: Neurons above the base size (below it, if negative), as a share of it.
        base_size: Neurons of the group in the configured network.
        start: How new neurons begin; symmetric pairs come and go in even numbers.
    """
    if share == 0:
        return base_size
    change = max(1, round(abs(share) * base_size))
    if start == "symmetric_pair":
        change += change % 2
    if share > 0:
        return base_size + change
    largest = base_size - 1
    return base_size - min(change, largest - largest % 2 if start == "symmetric_pair" else largest)


def sizes_at(share: float, base_sizes: Mapping[str, int], start: str) -> dict[str, int]:
    """Return the size that each group is to have; see `size_at`."""
    return {name: size_at(share, size, start) for name, size in base_sizes.items()}


def growth_need(start: str, before: Mapping[str, int], after: Mapping[str, int]) -> Need:
    """Return what must be shown before groups grow from some sizes to others with neurons that begin with `start`."""
    if start != "gradmax":
        return NOTHING
    return Need(scores=None, head_scores=False, directions={name: after[name] - size for name, size in before.items()})


def pruning_need(importance: str, protected_share: float) -> Need:
    """Return what must be shown before neurons are removed."""
    return Need(scores=importance, head_scores=protected_share > 0, directions=None)


def growth(snapshot: Snapshot, sizes: Mapping[str, int], start: str, reason: str) -> Decision:
    """Return the decision to add neurons up to these sizes; a group that has its size is left alone."""
    counts = {g.name: sizes[g.name] - g.size for g in snapshot.units.groups if sizes[g.name] > g.size}
    plan = grow(snapshot.units, counts, start=start, generator=snapshot.generator, directions=snapshot.directions)
    return Decision(plan, reason, fold=None)


def pruning(snapshot: Snapshot, sizes: Mapping[str, int], protected_share: float, reason: str) -> Decision:
    """Return the decision to remove the least important neurons down to these sizes.

    Args:
        snapshot: With scores, and with head scores if any neuron is protected.
        sizes: Neurons to keep in each group.
        protected_share: Neurons that stay, the most important to the head classes, as a share of the base size.
        reason: For the record.
    """
    assert snapshot.scores is not None
    positions = {
        group.name: least_important(
            snapshot.scores[group.name],
            group.size - sizes[group.name],
            _protected(group.name, snapshot, min(protected_share * snapshot.base_sizes[group.name], sizes[group.name])),
        )
        for group in snapshot.units.groups
    }
    return Decision(prune(snapshot.units, positions), reason, fold=None)


def _protected(group: str, snapshot: Snapshot, count: float) -> Tensor:
    if snapshot.head_scores is None:
        return torch.empty(0, dtype=torch.long)
    return most_important(snapshot.head_scores[group], int(count))


def least_important(scores: Tensor, count: int, protected: Tensor) -> tuple[int, ...]:
    """Return the positions of the `count` lowest scores among those not protected, in ascending order.

    Args:
        scores: `(size,)`, higher is more important. Ties fall to the later position, which is the younger neuron.
        count: How many, at most size minus the number of protected ones.
        protected: Positions that stay whatever their score.
    """
    candidates = scores.detach().to("cpu", torch.float64).clone()
    candidates[protected.cpu()] = torch.inf
    order = candidates.flip(0).argsort(stable=True)  # flipped, so that the youngest comes first among equals
    return tuple(sorted((len(scores) - 1 - order[:count]).tolist()))


def most_important(scores: Tensor, count: int) -> Tensor:
    """Return the positions of the `count` highest scores; ties go to the earlier position, the older neuron."""
    return scores.detach().to("cpu", torch.float64).argsort(stable=True, descending=True)[:count]
