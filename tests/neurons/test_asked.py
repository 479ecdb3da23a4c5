import copy

import numpy as np
import pytest
import torch
from torch import nn

from neurosearch.neurons import (
    Plan,
    SurgeryError,
    apply_plan,
    find_units,
    fold_gates,
    gated_parameters,
    gradmax_directions,
    grow,
    importance,
    prune,
    restore_structure,
    structure,
)

INPUTS, TARGETS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0, 1])


def network(width=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, 2))


class Bench:
    """A network in the middle of its training, with everything that a user could mix up."""

    def __init__(self):
        self.model = network()
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.model(INPUTS).sum().backward()
        self.optimizer.step()
        self.units = find_units(self.model, (INPUTS,))
        self.plan = prune(self.units, {"0": [0]})
        self.smaller = self.plan.units_after(self.units)
        self.other = network(7)

    def apply(self, optimizer=None, **others):
        return apply_plan(self.plan, self.model, optimizer or self.optimizer, **others)

    def apply_to_a_live_graph(self):
        outputs = self.model(INPUTS)
        self.apply()
        return outputs

    @torch.inference_mode()
    def apply_in_inference_mode(self):
        self.apply()

    @torch.inference_mode()
    def score_in_inference_mode(self):
        importance(self.model, self.units, [(INPUTS, TARGETS)], kind="taylor")


MISTAKES = {
    "no such group": (lambda b: prune(b.units, {"layer1": [0]}), r"no group 'layer1'\. Groups: '0', '2'"),
    "a group by number": (lambda b: grow(b.units, {0: 1}), r"no group 0, did you mean '0'\?"),
    "a list of groups": (lambda b: grow(b.units, ["0"]), r'A list was given where a mapping .* Write \{"name": 2\}'),
    "below 0": (lambda b: prune(b.units, {"0": [-1]}), r"group 0: position -1 is out of range, it has 8 units"),
    "too high": (lambda b: prune(b.units, {"0": [8]}), r"position 8 is out of range, it has 8 units \(0 to 7\)"),
    "a mask": (lambda b: prune(b.units, {"0": torch.arange(8) > 5}), r"group 0: a mask .* mask\.nonzero\(\)"),
    "truth values": (lambda b: prune(b.units, {"0": [True, False]}), r"group 0: position True is no whole number.*\[0"),
    "fractions": (lambda b: prune(b.units, {"0": [1.5]}), r"group 0: position 1\.5 is no whole number.*\[0, 2\]"),
    "one number": (lambda b: prune(b.units, {"0": 3}), r"group 0: 3 is no list of positions.*\[0, 2\]"),
    "all units": (lambda b: prune(b.units, {"0": range(8)}), r"removing 8 of 8 units leaves fewer than 1.*at most 7"),
    "less than nothing": (lambda b: grow(b.units, {"0": -1}), r"group 0: -1 new units.*Use prune"),
    "half a unit": (lambda b: grow(b.units, {"0": 1.5}), r"group 0: 1\.5 new units.*whole number"),
    "a truth value": (lambda b: grow(b.units, {"0": True}), r"group 0: True new units.*whole number"),
    "too much": (
        lambda b: apply_plan(grow(b.units, {"0": 10**12}), b.model, b.optimizer),
        r"more than this machine has\. Plan fewer new units",
    ),
    "more than the machine has": (
        lambda b: apply_plan(grow(b.units, {"0": 10**9}), b.model, b.optimizer),
        r"group 0: with 1000000000 new units .* GiB, more than this machine has\. Plan fewer new units",
    ),
    "a model for units": (lambda b: prune(b.model, {"0": [0]}), r"A Sequential was given where units are needed"),
    "units in another order": (lambda b: importance(b.model, b.model, (), kind="l2"), r"where units are needed"),
    "no start": (lambda b: grow(b.units, {"0": 1}, start=None), r"start None is unknown\. Choose one of zero_outgoing"),
    "another network's plan": (
        lambda b: apply_plan(prune(find_units(b.other, (INPUTS,)), {"0": [0]}), b.model),
        r"0\.weight of the model is of shape \(8, 4\), but its units say \(7, 4\).*returned last",
    ),
    "a plan twice": (lambda b: b.plan.combine(b.plan), r"group 0 has 7 units, and the plan was made for 8.*anew"),
    "a plan as a dict": (lambda b: apply_plan({"0": [1]}, b.model), r"A dict was given where a plan is needed"),
    "arguments in another order": (
        lambda b: apply_plan(b.model, b.plan),
        r"Write apply_plan\(plan, model, optimizer\)",
    ),
    "a plan of no network": (
        lambda b: apply_plan(Plan.from_json(b.plan.to_json().replace(b.plan.layout, "0" * 32)), b.model),
        r"has not seen\. Call find_units",
    ),
    "an edited plan's position": (
        lambda b: Plan.from_json(b.plan.to_json().replace('"removed":[0]', '"removed":[8]')),
        r"no plan of format 1 \(ValueError: group 0 has 8 units, and \[8\] are to go\)",
    ),
    "an edited plan's count": (
        lambda b: Plan.from_json(b.plan.to_json().replace('"added":0', '"added":-2')),
        r"group 0 is to gain -2 units with start ''",
    ),
    "other inputs": (lambda b: find_units(b.model, (INPUTS[:, :3],)), r"0 \(Linear\) raised .*3.*shapes and types"),
    "too many inputs": (lambda b: find_units(b.model, (INPUTS, INPUTS)), r"\(Sequential\) raised TypeError"),
    "inputs without a tuple": (
        lambda b: find_units(b.model, INPUTS),
        r"a Tensor.*Write find_units\(model, \(inputs,\)\)",
    ),
    "no module": (lambda b: find_units(torch.relu, (INPUTS,)), r"where a model is needed\. Pass a torch\.nn\.Module"),
    "a live graph": (Bench.apply_to_a_live_graph, r"autograd graph .* holds 0\.weight .*delete losses and outputs"),
    "inference mode": (Bench.apply_in_inference_mode, r"inside torch\.inference_mode.*Call it outside"),
    "scores in inference mode": (Bench.score_in_inference_mode, r"inside torch\.inference_mode.*Call it outside"),
    "another model's optimizer": (
        lambda b: b.apply(torch.optim.AdamW(b.other.parameters())),
        r"does not hold 0\.weight, .*made from this model's parameters",
    ),
    "half an optimizer": (lambda b: b.apply(torch.optim.AdamW(b.model[0].parameters())), r"does not hold 2\.weight"),
    "the optimizer's name": (lambda b: b.apply("adamw"), r"A str was given where an optimizer is needed"),
    "a schedule": (
        lambda b: b.apply(torch.optim.lr_scheduler.StepLR(b.optimizer, 1)),
        r"A StepLR was given where an optimizer is needed\. Pass the torch\.optim\.Optimizer",
    ),
    "one copy": (lambda b: b.apply(averaged=copy.deepcopy(b.model)), r"averaged is one copy.*averaged=\(copy,\)"),
    "a copy of another network": (lambda b: b.apply(averaged=[b.other]), r"0\.weight of an averaged copy .*\(7, 4\)"),
    "one batch": (
        lambda b: importance(b.model, b.units, (INPUTS, TARGETS), kind="taylor"),
        r"A Tensor was given where a batch is needed.*\[\(inputs, targets\)\]",
    ),
    "inputs alone": (lambda b: gradmax_directions(b.model, b.units, INPUTS, {"0": 1}), r"where batches are needed"),
    "scores by old units": (
        lambda b: importance(b.model, b.smaller, [(INPUTS, TARGETS)], kind="l2"),
        r"0\.weight of the model is of shape \(8, 4\), but its units say \(7, 4\)",
    ),
    "directions by old units": (
        lambda b: gradmax_directions(b.model, b.smaller, [(INPUTS, TARGETS)], {"0": 1}),
        r"0\.weight of the model is of shape \(8, 4\), but its units say \(7, 4\)",
    ),
    "a gate too short": (
        lambda b: gated_parameters(b.model, b.units, {"0": torch.ones(3)}),
        r"Pass one factor for each",
    ),
    "a gate of no group": (lambda b: fold_gates(b.model, b.units, {"9": torch.ones(3)}), r"no group '9'"),
    "no structure": (
        lambda b: restore_structure(b.model, None),
        r"This NoneType is no structure\. Pass what structure",
    ),
    "a structure with holes": (
        lambda b: restore_structure(b.model, {**structure(b.model, b.units), "sizes": {}}),
        r"The structure is damaged: KeyError: '0'",
    ),
    "another network's structure": (
        lambda b: restore_structure(b.model[:3], structure(b.model, b.units)),
        r"has a tensor 4\.weight, the model has none",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_in_words_that_mend_it_and_nothing_changes(snapshot, same, name):
    make, message = MISTAKES[name]
    bench = Bench()
    before = snapshot(bench.model, bench.optimizer)
    with pytest.raises(SurgeryError, match=message):
        make(bench)
    same(snapshot(bench.model, bench.optimizer), before)
    apply_plan(bench.plan, bench.model, bench.optimizer)


@pytest.mark.parametrize("positions", [[1, 2, 2], (1, 2), {1, 2}, range(1, 3), torch.tensor([2, 1]), np.array([1, 2])])
def test_whole_numbers_of_any_library_are_positions(positions):
    units = Bench().units
    assert prune(units, {"0": positions}) == prune(units, {"0": [1, 2]})
    assert grow(units, {"0": np.int64(2)}) == grow(units, {"0": torch.tensor(2)}) == grow(units, {"0": 2})
