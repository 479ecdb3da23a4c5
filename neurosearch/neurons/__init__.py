"""The mechanism: which neurons and channels a network has, and how they come and go exactly.

In: any `nn.Module` with example inputs, its optimizer, and plans. Out: the network's units as a value, plans as values,
scores of units, and the changed network with everything that belongs to it. Needs torch and numpy alone.

Example:
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> units = find_units(model, (torch.zeros(1, 4),))
    >>> [(group.name, group.size) for group in units.groups]
    [('0', 8)]
    >>> units = apply_plan(grow(units, {"0": 2}), model, optimizer)
    >>> units = apply_plan(prune(units, {"0": [8, 9]}), model, optimizer)
"""

from neurosearch.neurons.certificate import certify
from neurosearch.neurons.directions import Directions
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import find_units
from neurosearch.neurons.gates import fold_gates, gated_parameters
from neurosearch.neurons.gradmax import explained_shares, gradmax_directions
from neurosearch.neurons.growable import growth_refusals
from neurosearch.neurons.importance import KINDS, importance
from neurosearch.neurons.likeness import Twins, merges_of, near_duplicates
from neurosearch.neurons.merging import Merge, merge_refusals
from neurosearch.neurons.plan import STARTS, Change, Plan, grow, prune
from neurosearch.neurons.reserve import Reserve
from neurosearch.neurons.shifts import fold_shifts, shift_parameter, shifted_parameters
from neurosearch.neurons.spanning_tree import tree_correlation
from neurosearch.neurons.structure import restore_structure, same_on_all_ranks, structure
from neurosearch.neurons.surgery import apply_plan
from neurosearch.neurons.units import Frozen, Group, Units

__all__ = [
    "KINDS",
    "STARTS",
    "Change",
    "Directions",
    "Frozen",
    "Group",
    "Merge",
    "Plan",
    "Reserve",
    "SurgeryError",
    "Twins",
    "Units",
    "apply_plan",
    "certify",
    "explained_shares",
    "find_units",
    "fold_gates",
    "fold_shifts",
    "gated_parameters",
    "gradmax_directions",
    "grow",
    "growth_refusals",
    "importance",
    "merge_refusals",
    "merges_of",
    "near_duplicates",
    "prune",
    "restore_structure",
    "same_on_all_ranks",
    "shift_parameter",
    "shifted_parameters",
    "structure",
    "tree_correlation",
]
