import pytest
import torch
from torch import nn

from neurosearch.neurons import SurgeryError, apply_plan, find_units, grow, prune


def test_a_live_graph_is_refused_and_everything_is_as_before(cases, trained, snapshot, same):
    model, inputs = cases["cnn_flatten"].model(), cases["cnn_flatten"].inputs()
    optimizer = trained(model, inputs)
    units = find_units(model, (inputs,))
    alive = model(inputs)
    before = snapshot(model, optimizer)
    with pytest.raises(SurgeryError, match=r"autograd graph .* still holds 0\.weight"):
        apply_plan(grow(units, {"0": 1, "7": 2}), model, optimizer)
    same(snapshot(model, optimizer), before)
    alive.sum().backward()
    optimizer.step()
    del alive
    apply_plan(grow(units, {"0": 1, "7": 2}), model, optimizer)


def test_an_optimizer_of_another_model_is_refused(cases, snapshot, same):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = find_units(model, (inputs,))
    before = snapshot(model)
    stranger = torch.optim.AdamW(cases["mlp"].model().parameters())
    with pytest.raises(SurgeryError, match=r"does not hold 1\.weight"):
        apply_plan(prune(units, {"1": [0]}), model, stranger)
    same(snapshot(model), before)


def test_an_optimizer_may_hold_more_than_the_model(cases):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    extra = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([*model.parameters(), extra])
    apply_plan(prune(find_units(model, (inputs,)), {"1": [0]}), model, optimizer)
    model(inputs).sum().backward()
    optimizer.step()
