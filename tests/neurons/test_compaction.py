import copy
import io
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from neurosearch.neurons import SurgeryError, apply_plan, find_units, prune
from neurosearch.neurons import compaction as compaction_module
from neurosearch.neurons.allocation import Room
from neurosearch.neurons.compaction import Compaction, Moves, fits_compaction
from neurosearch.neurons.reindex import Reindex, reindexed


@pytest.fixture(autouse=True)
def megabytes_are_large(monkeypatch):
    monkeypatch.setattr(compaction_module, "_SMALLEST_BYTES", 2**21)


def change_of(size, removed, run=1):
    kept = torch.tensor([index for index in range(size // run) if index not in removed])
    return Reindex(kept, kept[:0], run, size, only_appends=False)


def compaction_of(tensor, changes):
    return Compaction(tensor, Moves(tensor.shape, tensor.element_size(), changes), (Room(), Room()))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_it_equals_selection_and_can_be_undone(data):
    rows, columns, run = data.draw(st.integers(2, 9)), data.draw(st.integers(2, 7)), data.draw(st.integers(1, 3))
    shape = (rows, columns * run, *data.draw(st.sampled_from([(), (3, 2)])))
    tensor = torch.rand(shape)
    before = tensor.clone()
    changes = {}
    if data.draw(st.booleans()):
        changes[0] = change_of(rows, data.draw(st.sets(st.integers(0, rows - 1), max_size=rows - 1)))
    if not changes or data.draw(st.booleans()):
        changes[1] = change_of(
            columns * run, data.draw(st.sets(st.integers(0, columns - 1), max_size=columns - 1)), run
        )
    expected = reindexed([tensor], changes, Room())[0]
    compaction = compaction_of(tensor, changes)
    result = compaction.run()
    assert torch.equal(result, expected)
    assert result.data_ptr() == tensor.data_ptr()
    compaction.undo()
    assert torch.equal(tensor, before)


def interrupting(num_lines):
    """Return a trace function that interrupts the lines of `Compaction.run` at one of them."""
    left = [num_lines]

    def trace(frame, event, argument):
        if frame.f_code is not Compaction.run.__code__:
            return None
        if event == "line":
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
        return trace

    return trace, left


@pytest.mark.parametrize("dimensions", [(0,), (1,), (0, 1)])
def test_it_can_be_undone_whenever_it_was_interrupted(monkeypatch, dimensions):
    monkeypatch.setattr(compaction_module, "CHUNK_BYTES", 64)
    before = torch.rand(7, 6, 2)
    changes = {0: change_of(7, {0, 4}), 1: change_of(6, {1, 5})}
    for num_lines in range(1, 1000):
        tensor = before.clone()
        compaction = compaction_of(tensor, {index: changes[index] for index in dimensions})
        former = sys.gettrace()
        trace, left = interrupting(num_lines)
        sys.settrace(trace)
        try:
            compaction.run()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(former)
        compaction.undo()
        assert torch.equal(tensor, before), num_lines
        if left[0] > 0:
            break
    assert 20 < num_lines < 999


def large_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 1200), nn.GELU(), nn.Linear(1200, 1100), nn.GELU(), nn.Linear(1100, 2))


def test_several_chunks_equal_selection_and_can_be_undone():
    weight = large_model()[2].weight.data
    before = weight.clone()
    changes = {0: change_of(1100, set(range(0, 1100, 7))), 1: change_of(1200, set(range(5, 1200, 9)))}
    compaction = compaction_of(weight, changes)
    assert torch.equal(compaction.run(), before[changes[0].source][:, changes[1].source])
    compaction.undo()
    assert torch.equal(weight, before)


def test_large_weights_and_moments_stay_in_their_memory(trained):
    model = large_model()
    optimizer = trained(model, torch.randn(3, 4))
    weight = model[2].weight
    places = [weight.data_ptr(), optimizer.state[weight]["exp_avg"].data_ptr()]
    apply_plan(prune(find_units(model, (torch.randn(1, 4),)), {"0": [3, 4], "2": [0]}), model, optimizer)
    assert [weight.data_ptr(), optimizer.state[weight]["exp_avg"].data_ptr()] == places
    assert weight.is_contiguous()
    assert weight.untyped_storage().nbytes() == weight.nbytes


def test_a_held_state_dict_does_not_change():
    model = large_model()
    held = model.state_dict()
    copied = copy.deepcopy(held)
    apply_plan(prune(find_units(model, (torch.randn(1, 4),)), {"0": [3], "2": [0]}), model)
    assert all(torch.equal(held[name], copied[name]) for name in held)


def test_memory_that_is_half_empty_is_given_back():
    model = large_model()
    units = find_units(model, (torch.randn(1, 4),))
    apply_plan(prune(units, {"0": range(900), "2": range(100)}), model)
    weight = model[2].weight
    assert weight.untyped_storage().nbytes() == weight.numel() * 4


def test_memory_is_given_back_after_several_prunings_left_half_of_it():
    model = large_model()
    place = model[2].weight.data_ptr()
    units = find_units(model, (torch.randn(1, 4),))
    for _ in range(2):
        units = apply_plan(prune(units, {"0": range(270)}), model)
        assert model[2].weight.data_ptr() == place
    weight = model[2].weight.detach().clone()
    apply_plan(prune(units, {"0": range(270)}), model)
    assert model[2].weight.data_ptr() != place
    assert torch.equal(model[2].weight, weight[:, 270:])


def test_saved_weights_are_the_pruned_ones_and_no_more():
    model = large_model()
    apply_plan(prune(find_units(model, (torch.randn(1, 4),)), {"0": range(200), "2": [0]}), model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    assert len(file.getvalue()) < 10_000 + sum(tensor.nbytes for tensor in model.state_dict().values())
    file.seek(0)
    for name, value in torch.load(file, weights_only=True).items():
        assert torch.equal(value, model.state_dict()[name])


def test_a_failure_after_it_is_undone(trained, snapshot, same):
    model = large_model()
    optimizer = trained(model, torch.randn(3, 4))
    units = find_units(model, (torch.randn(1, 4),))
    first = prune(units, {"0": [3, 50, 1000]})
    optimizer.state[model[4].weight]["exp_avg"] = torch.ones(7)  # stands in the way of the second step
    before = snapshot(model, optimizer)
    with pytest.raises(SurgeryError, match=r"'exp_avg' of 4\.weight"):
        apply_plan(first.combine(prune(first.units_after(units), {"2": [5]})), model, optimizer)
    same(snapshot(model, optimizer), before)


def fits(tensor):
    moves = Moves.of(tensor, {0: change_of(len(tensor), {0})})
    return moves is not None and fits_compaction(tensor, moves, num_holders=1)


@pytest.mark.parametrize("change", ["small", "view", "transposed"])
def test_what_is_small_or_shared_or_strided_is_copied(change):
    weight = torch.rand(1200, 1100)
    tensor = {"small": weight[:100].clone(), "view": weight[:1100], "transposed": weight.clone().t()}[change]
    assert not fits(tensor)
    assert fits(torch.rand(1200, 1100))
