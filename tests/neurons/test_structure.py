import io
import json
import subprocess
import sys

import pytest
import torch

from neurosearch.neurons import SurgeryError, apply_plan, find_units, grow, prune, restore_structure, structure


def test_a_checkpoint_between_growth_and_pruning_continues_bit_for_bit(case, trained):
    model, inputs = case.model(), case.inputs()
    optimizer = trained(model, inputs)
    units = find_units(model, (inputs,))
    hindered = {facts.name for facts in units.layout.groups if facts.obstacles.keys() & {"normalised", "tied"}}
    name = next(group.name for group in units.groups if group.name not in hindered)
    size = units.sizes[units.layout.index[name]]
    units = apply_plan(grow(units, {name: 3}, generator=torch.Generator().manual_seed(1)), model, optimizer)
    file = io.BytesIO()
    torch.save(
        {"structure": structure(model, units), "model": model.state_dict(), "optimizer": optimizer.state_dict()}, file
    )
    file.seek(0)
    stored = torch.load(file, weights_only=True)

    other = case.model(seed=9)
    restored = restore_structure(other, json.loads(json.dumps(stored["structure"])))
    other.load_state_dict(stored["model"], strict=True)
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3)
    other_optimizer.load_state_dict(stored["optimizer"])
    assert restored.digest == units.digest
    for one, one_optimizer, one_units in ((model, optimizer, units), (other, other_optimizer, restored)):
        step(one, one_optimizer, inputs)
        apply_plan(prune(one_units, {name: range(size, size + 3)}), one, one_optimizer)
        step(one, one_optimizer, inputs)
    for (key, first), second in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(first, second), key


def step(model, optimizer, inputs):
    optimizer.zero_grad()
    outputs = model(inputs)
    outputs.backward(torch.ones_like(outputs))
    optimizer.step()


def test_a_fresh_process_restores_and_plans(cases, tmp_path):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = apply_plan(grow(find_units(model, (inputs,)), {"1": 2}), model)
    plan = prune(units, {"1": [0, 7]})
    torch.save(
        {"structure": structure(model, units), "weights": model.state_dict(), "plan": plan.to_json()}, tmp_path / "x.pt"
    )
    code = """
import sys, torch
from torch import nn
from neurosearch.neurons import Plan, apply_plan, restore_structure
stored = torch.load(sys.argv[1], weights_only=True)
model = nn.Sequential(nn.Flatten(), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 5), nn.BatchNorm1d(5),
                      nn.GELU(), nn.Linear(5, 3)).double()
restore_structure(model, stored["structure"])
model.load_state_dict(stored["weights"])
apply_plan(Plan.from_json(stored["plan"]), model)
torch.save(model.state_dict(), sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.pt")], check=True)
    apply_plan(plan, model)
    for key, value in torch.load(tmp_path / "x.pt", weights_only=True).items():
        assert torch.equal(value, model.state_dict()[key]), key


def test_restoring_works_from_any_widths(case):
    model, inputs = case.model(), case.inputs()
    units = find_units(model, (inputs,))
    stored = structure(model, units)
    other = case.model()
    apply_plan(prune(units, {g.name: [0] for g in units.groups if g.size > g.minimum}), other)
    assert restore_structure(other, stored).digest == units.digest
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other.eval()(inputs), model.eval()(inputs))


def test_a_structure_of_another_architecture_is_refused(cases, snapshot, same):
    stored = structure(cases["mlp"].model(), find_units(cases["mlp"].model(), (cases["mlp"].inputs(),)))
    other = cases["cnn_flatten"].model()
    before = snapshot(other)
    with pytest.raises(SurgeryError, match="has a tensor 1.weight, the model has none of that rank"):
        restore_structure(other, stored)
    with pytest.raises(SurgeryError, match="format version 7"):
        restore_structure(other, {**stored, "format_version": 7})
    same(snapshot(other), before)


def test_units_of_another_width_are_refused(cases):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    with pytest.raises(SurgeryError, match=r"1\.weight of the model is of shape"):
        structure(model, units.with_sizes((7, 5)))
