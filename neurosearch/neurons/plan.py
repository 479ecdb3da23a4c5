"""Plans: which units go and how many come, as values.

A plan names the structure it was made for by hash, so it is never applied to another one. It holds no tensor and no
randomness: new units' values follow from a seed that was drawn when the plan was made.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import torch

from neurosearch.neurons.asked import by_group, known_units, whole_count, whole_positions
from neurosearch.neurons.directions import Directions, checked, directions_of
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.growable import check_start
from neurosearch.neurons.merging import Merge, misfit
from neurosearch.neurons.merging import checked as checked_merges
from neurosearch.neurons.units import Group, Units

STARTS = ("zero_outgoing", "symmetric_pair", "shared_copy", "noisy_copy", "gradmax", "zero_incoming", "gated")
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Change:
    """What happens to one group.

    Attributes:
        group: Its name.
        removed: Positions that go, ascending.
        added: Number of new units, which become the last ones.
        start: How new units begin, "" if there are none.
        seed: From which their random values follow.
        directions: Where the weights of a gradmax start point, None for every other one.
        noise: Of a noisy copy's incoming weights, in units of their root mean square; 0 for every other start.
        merged: Removed units whose outgoing weights are added to those of units that stay, ascending.
    """

    group: str
    removed: tuple[int, ...]
    added: int
    start: str
    seed: int
    directions: Directions | None = None
    noise: float = 0.0
    merged: tuple[Merge, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Changes of a network, in order.

    Attributes:
        layout: Hash of the network's layout.
        sizes: Name and size of every group before the plan.
        steps: Changes; those of one step happen at once.
    """

    layout: str
    sizes: tuple[tuple[str, int], ...]
    steps: tuple[tuple[Change, ...], ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change, in order."""
        return tuple(change for step in self.steps for change in step)

    @property
    def digest(self) -> str:
        """Hash of the whole plan; equal on all ranks of a distributed training exactly if the plans are."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def sizes_after(self) -> tuple[tuple[str, int], ...]:
        """Name and size of every group after the plan."""
        sizes = dict(self.sizes)
        for change in self.changes:
            sizes[change.group] += change.added - len(change.removed)
        return tuple(sizes.items())

    def units_after(self, units: Units) -> Units:
        """Return the units that a network has after the plan.

        Raises:
            SurgeryError: If the plan was made for other units.
        """
        if self.layout != units.layout.digest or tuple(size for _, size in self.sizes) != units.sizes:
            raise _misfit("these units", dict(self.sizes), {group.name: group.size for group in units.groups})
        return units.with_sizes(tuple(size for _, size in self.sizes_after))

    def combine(self, later: "Plan") -> "Plan":
        """Return the plan that does this one and then another.

        Raises:
            SurgeryError: If the other plan was not made for the network that this one leaves behind.
        """
        if later.layout != self.layout or later.sizes != self.sizes_after:
            raise _misfit("the network that the first plan leaves", dict(later.sizes), dict(self.sizes_after))
        return Plan(self.layout, self.sizes, self.steps + later.steps)

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        value = {"format_version": _FORMAT_VERSION, **asdict(self)}
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Return the plan that `to_json` wrote.

        Raises:
            SurgeryError: If the text is no such plan.
        """
        try:
            return _plan_of(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise SurgeryError(
                f"This is no plan of format {_FORMAT_VERSION} ({type(error).__name__}: {error}). Pass what "
                "Plan.to_json returned."
            ) from error


def prune(
    units: Units, positions: Mapping[str, Iterable[int]], merged: Mapping[str, Iterable[Merge]] | None = None
) -> Plan:
    """Plan to remove units.

    Args:
        units: The network's units now.
        positions: For each group to prune, by name, the positions that go, in any order.
        merged: By name, which of them leave their outgoing weights to units that stay, such as near-duplicates (see
            `near_duplicates`); the others are removed with theirs.

    Raises:
        SurgeryError: For an unknown group, a position out of range, fewer units than the group's minimum, a group whose
            units cannot be merged, or a merge that is not from a unit that goes to one that stays.
    """
    changes = []
    for name, wanted in by_group(positions, '{"name": [0, 2]}').items():
        group = group_by_name(units, name)
        removed = _removed(group, wanted)
        if removed:
            own = checked_merges(units, group, removed, (merged or {}).get(name, ()))
            changes.append(Change(name, removed, 0, "", 0, merged=own))
    return _plan(units, changes)


def grow(
    units: Units,
    counts: Mapping[str, int],
    start: str = "zero_outgoing",
    *,
    generator: torch.Generator | None = None,
    allow_inexact: bool = False,
    directions: Mapping[str, Directions] | None = None,
    noise: float = 0.0,
) -> Plan:
    """Plan to add units.

    Args:
        units: The network's units now.
        counts: For each group to grow, by name, how many units come.
        start: How they begin. `zero_outgoing`: random incoming weights, outgoing ones 0. `symmetric_pair`: pairs with
            the same random incoming and opposite random outgoing weights. `shared_copy`: copies of existing units that
            share their outgoing weights, unevenly so that they part (Net2Wider, arXiv:1511.05641). `noisy_copy`: such
            copies with noise on their incoming weights, the one start that changes the function. `zero_incoming`:
            incoming weights 0, outgoing ones random. `gradmax`: one side 0, the other one where the loss makes the 0
            side move most (arXiv:2201.05125). `gated`: both random, exact only behind gates of 0. All others keep the
            network's function, in training and evaluation; copies and pairs under dropout in its mean only.
        generator: Draws the seeds of the new values; without one they are 0, so the same plan gives the same values.
        allow_inexact: Whether groups may grow over which a mean or variance is taken, which changes the function.
        directions: For `gradmax`, what `gradmax_directions` returned for these groups and counts.
        noise: For `noisy_copy`: standard deviation of the noise, in units of the incoming weights' root mean square.

    Raises:
        SurgeryError: For an unknown group or start, a negative count, directions that are missing or of other counts
            or widths, or a group that cannot start this way.
    """
    if start not in STARTS:
        known = ", ".join(STARTS)
        raise SurgeryError(f"start {start!r} is unknown{_nearest(start, STARTS)} Choose one of {known}.")
    changes = []
    for name, asked in by_group(counts, '{"name": 2}').items():
        group_by_name(units, name)
        count = whole_count(name, asked)
        if count:
            facts = units.layout.groups[units.layout.index[name]]
            given = checked(units, name, count, start, directions or {})
            kind = "zero_incoming" if given and given.zero == "incoming" else start
            check_start(facts, count, kind, allow_inexact=allow_inexact)
            added_noise = noise if start == "noisy_copy" else 0.0
            changes.append(Change(name, (), count, start, _draw_seed(generator), given, added_noise))
    return _plan(units, changes)


def group_by_name(units: Units, name: str) -> Group:
    """Return a group.

    Raises:
        SurgeryError: If there is none of that name.
    """
    index = known_units(units).layout.index.get(name)
    if index is None:
        names = tuple(units.layout.index)
        frozen = [one.reason for one in units.frozen if one.tensor.rpartition(".")[0] == name or one.tensor == name]
        why = f" It is frozen: {frozen[0]}." if frozen else ""
        known = ", ".join(map(repr, names)) or "none"
        raise SurgeryError(f"There is no group {name!r}{_nearest(name, names)}{why} Groups: {known}.")
    return units.groups[index]


def _removed(group: Group, positions: Iterable[int]) -> tuple[int, ...]:
    removed = tuple(sorted(set(whole_positions(group.name, positions))))
    if removed and not 0 <= removed[0] <= removed[-1] < group.size:
        wrong = removed[0] if removed[0] < 0 else removed[-1]
        raise SurgeryError(
            f"group {group.name}: position {wrong} is out of range, it has {group.size} units (0 to {group.size - 1})."
        )
    if group.size - len(removed) < group.minimum:
        raise SurgeryError(
            f"group {group.name}: removing {len(removed)} of {group.size} units leaves fewer than {group.minimum}. "
            f"Remove at most {group.size - group.minimum}."
        )
    return removed


def _draw_seed(generator: torch.Generator | None) -> int:
    if generator is None:
        return 0
    return int(torch.randint(2**31, (), generator=generator, device=generator.device).item())


def _plan(units: Units, changes: Sequence[Change]) -> Plan:
    sizes = tuple((facts.name, size) for facts, size in zip(units.layout.groups, units.sizes, strict=True))
    order = units.layout.index
    step = tuple(sorted(changes, key=lambda change: order[change.group]))
    return Plan(units.layout.digest, sizes, (step,) if step else ())


def _plan_of(value: Mapping[str, Any]) -> Plan:
    if value["format_version"] != _FORMAT_VERSION:
        raise ValueError(f"it has format version {value['format_version']}")
    steps = tuple(
        tuple(
            Change(
                one["group"],
                tuple(map(int, one["removed"])),
                int(one["added"]),
                one["start"],
                int(one["seed"]),
                directions_of(one.get("directions")),
                float(one.get("noise", 0.0)),
                tuple(Merge(int(source), int(target), float(by)) for source, target, by in one.get("merged", ())),
            )
            for one in step
        )
        for step in value["steps"]
    )
    plan = Plan(value["layout"], tuple((name, int(size)) for name, size in value["sizes"]), steps)
    _check_changes(plan)
    return plan


def _check_changes(plan: Plan) -> None:
    """Refuse what a plan that was read could not have said when it was made."""
    sizes = dict(plan.sizes)
    for change in plan.changes:
        size = sizes[change.group]
        if list(change.removed) != sorted(set(change.removed)) or not set(change.removed) <= set(range(size)):
            raise ValueError(f"group {change.group} has {size} units, and {list(change.removed)} are to go")
        if (wrong := misfit(size, change.removed, change.merged)) is not None:
            raise ValueError(f"group {change.group}: {wrong}")
        if change.added < 0 or (change.added and change.start not in STARTS):
            raise ValueError(f"group {change.group} is to gain {change.added} units with start {change.start!r}")
        sizes[change.group] += change.added - len(change.removed)


def _misfit(what: str, wanted: Mapping[str, int], real: Mapping[str, int]) -> SurgeryError:
    different = [
        f"group {name} has {real.get(name, 0)} units, and the plan was made for {wanted.get(name, 0)}"
        for name in dict.fromkeys((*wanted, *real))
        if wanted.get(name) != real.get(name)
    ]
    return SurgeryError(
        f"The plan does not fit {what}: {'; '.join(different[:3]) or 'the layers are others'}. Make it anew from the "
        "units that apply_plan or find_units returned last."
    )


def _nearest(name: object, names: Sequence[str]) -> str:
    close = get_close_matches(str(name), names, 1)
    return f", did you mean {close[0]!r}?" if close else "."
