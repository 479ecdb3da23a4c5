"""From sizes to decisions: what policies share that change every group by a share of its base size."""

import heapq
from collections.abc import Mapping
from dataclasses import replace
from math import floor

import torch
from torch import Tensor

from neurosearch import names
from neurosearch.growth.policy import NOTHING, Decision, Need, Snapshot
from neurosearch.neurons import Directions, Merge, grow, growth_refusals, merge_refusals, merges_of, prune

#: Where groups grow by demand, none gets more than this many times what it would get evenly: the memory that a trial
#: needs can be told before it starts.
LARGEST_DEMAND = 2
#: Scores that are exactly 0 for a neuron that reaches the loss in no example: those of sizes and chance are not.
_TELLS_DEAD = frozenset({"class_balanced_taylor", "taylor", "activation", "gradient"})
_ROUNDING = 1e-9  # of a neuron: 0.29 * 100 is a little below 29


def whole_share(share: float, size: int) -> int:
    """Return how many whole neurons a share of some is, whatever binary fractions make of it: 29 for 0.29 of 100."""
    return floor(share * size + _ROUNDING)


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


def changing(snapshot: Snapshot, start: str) -> dict[str, int]:
    """Return the base sizes of the groups that may change: one that cannot grow exactly stays as it was configured."""
    refused = growth_refusals(snapshot.units, start)
    return {name: size for name, size in snapshot.base_sizes.items() if name not in refused}


def sizes_by_demand(
    share: float, base_sizes: Mapping[str, int], demand: Mapping[str, float], start: str
) -> dict[str, int]:
    """Return sizes with as many newcomers in all as `sizes_at` has, where the tail classes ask for them.

    Each group gets newcomers in proportion to what it would get evenly times its demand, at most `LARGEST_DEMAND` times
    as many as evenly; whole numbers by the rule of the largest average (d'Hondt).

    Args:
        share: Neurons above the base sizes, as a share of them, above 0.
        base_sizes: Neurons of each group in the configured network.
        demand: The tail classes' share of the gradient that reaches each group; all 0 counts as all equal.
        start: How new neurons begin; symmetric pairs come in even numbers.
    """
    portion = 2 if start == "symmetric_pair" else 1
    even = {name: size_at(share, size, start) - size for name, size in base_sizes.items()}
    is_flat = not any(demand[name] > 0 for name in even)
    given = dict.fromkeys(even, 0)
    # The groups by what each further portion would be worth to them; the earlier group wins a tie.
    waiting = [
        (-float(even[name] * (1.0 if is_flat else demand[name])), place, name) for place, name in enumerate(even)
    ]
    worth = {name: value for value, _, name in waiting}
    heapq.heapify(waiting)
    for _ in range(sum(even.values()) // portion):
        _, place, name = heapq.heappop(waiting)
        given[name] += portion
        if given[name] + portion <= LARGEST_DEMAND * even[name]:
            heapq.heappush(waiting, (worth[name] / (given[name] // portion + 1), place, name))
    return {name: size + given[name] for name, size in base_sizes.items()}


def growth_need(start: str, before: Mapping[str, int], after: Mapping[str, int]) -> Need:
    """Return what must be shown before groups grow from some sizes to others with neurons that begin with `start`."""
    if start != "gradmax":
        return NOTHING
    return Need(scores=None, head_scores=False, directions={name: after[name] - size for name, size in before.items()})


def pruning_need(importance: str, protected_share: float, merge_threshold: float) -> Need:
    """Return what must be shown before neurons are removed."""
    return Need(scores=importance, head_scores=protected_share > 0, directions=None, twins=merge_threshold)


def growth(snapshot: Snapshot, sizes: Mapping[str, int], start: str, noise: float, reason: str) -> Decision:
    """Return the decision to add neurons up to these sizes.

    Args:
        snapshot: With directions, for at least as many neurons as come, if they begin with `gradmax`.
        sizes: Of the groups that may change; one that has its size is left alone.
        start: How new neurons begin.
        noise: Of noisy copies, in units of their incoming weights' root mean square.
        reason: For the record.
    """
    counts = {g.name: sizes[g.name] - g.size for g in snapshot.units.groups if sizes.get(g.name, 0) > g.size}
    directions = None if snapshot.directions is None else _first(snapshot.directions, counts)
    plan = grow(snapshot.units, counts, start, generator=snapshot.generator, directions=directions, noise=noise)
    return Decision(plan, reason, fold=None, left_alone=growth_refusals(snapshot.units, start))


def _first(directions: Mapping[str, Directions], counts: Mapping[str, int]) -> dict[str, Directions]:
    """Return as many directions as neurons come; they are ordered, the strongest first."""
    return {name: replace(directions[name], vectors=directions[name].vectors[:count]) for name, count in counts.items()}


def pruning(  # what is pruned, by what, and what is to be counted
    snapshot: Snapshot,
    sizes: Mapping[str, int],
    newcomers: Mapping[str, int],
    importance: str,
    protected_share: float,
    reason: str,
) -> Decision:
    """Return the decision to remove the least important neurons down to these sizes.

    Args:
        snapshot: With scores, with head scores if any neuron is protected, and with near-duplicates if neurons are to
            be merged into those that stay.
        sizes: Neurons to keep in each group that may change.
        newcomers: Of each group, how many of its neurons the growth before has added; these are the last ones.
        importance: What the scores are.
        protected_share: Neurons that stay, the most important to the head classes, as a share of the base size.
        reason: For the record.
    """
    assert snapshot.scores is not None
    removed, unprotected = {}, {}
    for group in snapshot.units.groups:
        kept = sizes.get(group.name, group.size)
        scores, count = snapshot.scores[group.name], group.size - kept
        spared = min(whole_share(protected_share, snapshot.base_sizes[group.name]), kept)
        protected = _protected(group.name, snapshot, spared)
        removed[group.name] = least_important(scores, count, protected)
        unprotected[group.name] = least_important(scores, count, NONE)
    counts = _newcomers_kept(snapshot, removed, newcomers)
    if snapshot.head_scores is not None:
        saved = sum(len(set(unprotected[name]) - set(positions)) for name, positions in removed.items())
        counts[names.NEURONS_SAVED] = float(saved)
    if importance in _TELLS_DEAD:
        counts[names.DEAD_NEURONS] = float(sum(int((scores == 0).sum()) for scores in snapshot.scores.values()))
    merged, notes = _merged(snapshot, removed)
    if snapshot.twins is not None:
        counts[names.NEURONS_MERGED] = float(sum(map(len, merged.values())))
    return Decision(prune(snapshot.units, removed, merged), reason, fold=None, counts=counts, notes=notes)


def _merged(
    snapshot: Snapshot, removed: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, tuple[Merge, ...]], dict[str, str]]:
    """Return how removed neurons are merged into near-duplicates that stay, and what the record says of it."""
    if snapshot.twins is None:
        return {}, {}
    merged = {name: merges_of(twins, removed[name]) for name, twins in snapshot.twins.items()}
    notes = {name: f"{len(merges)} merged into near-duplicates" for name, merges in merged.items() if merges}
    return merged, notes | {name: f"not merged: {why}" for name, why in merge_refusals(snapshot.units).items()}


def _newcomers_kept(
    snapshot: Snapshot, removed: Mapping[str, tuple[int, ...]], newcomers: Mapping[str, int]
) -> dict[str, float]:
    """Return how many newcomers a pruning leaves; nothing where it follows no growth."""
    came = sum(newcomers.values())
    if not came:
        return {}
    first = {group.name: group.size - newcomers.get(group.name, 0) for group in snapshot.units.groups}
    went = sum(position >= first[name] for name, positions in removed.items() for position in positions)
    return {names.NEWCOMERS_KEPT: float(came - went), names.NEWCOMERS_KEPT_SHARE: (came - went) / came}


#: No neuron is protected.
NONE = torch.empty(0, dtype=torch.long)


def _protected(group: str, snapshot: Snapshot, count: int) -> Tensor:
    if snapshot.head_scores is None:
        return NONE
    return most_important(snapshot.head_scores[group], count)


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
