import copy

import torch

from neurosearch.neurons import Reserve, SurgeryError, apply_plan, find_units, grow, prune


def make(case, more=0):
    """A network, its units, the names of groups that come and go, and a reserve of `more` units for each of them."""
    model, inputs = case.model().eval(), case.inputs()
    units = find_units(model, (inputs,))
    names = growable(units)
    largest = {group.name: group.size + more for group in units.groups if group.name in names}
    return model, inputs, units, names, Reserve(model, units, largest, torch.Generator().manual_seed(3))


def growable(units):
    found = []
    for group in units.groups:
        try:
            grow(units, {group.name: 1}, start="gated")
        except SurgeryError:
            continue
        found.append(group.name)
    return found


def cut(units, names):
    """Positions that leave half of each group."""
    return {g.name: range(max(g.minimum, g.size // 2), g.size) for g in units.groups if g.name in names}


def test_units_that_went_come_back_as_they_were(case):
    model, inputs, units, names, reserve = make(case)
    with torch.no_grad():
        before = model(inputs)
    gone = cut(units, names)
    reserve.store(model, units, names)
    small = apply_plan(prune(units, gone), model)
    counts = {name: len(positions) for name, positions in gone.items()}
    back = apply_plan(grow(small, counts, start="gated"), model)
    reserve.restore(model, back, names)
    assert back == units
    assert torch.equal(model(inputs), before)


def test_what_stayed_keeps_what_it_learned_meanwhile(case):
    model, _, units, names, reserve = make(case)
    gone = cut(units, names)
    reserve.store(model, units, names)
    small = apply_plan(prune(units, gone), model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    learned = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reserve.store(model, small, names)
    counts = {name: len(positions) for name, positions in gone.items()}
    back = apply_plan(grow(small, counts, start="gated"), model)
    reserve.restore(model, back, names)
    apply_plan(prune(back, gone), model)
    assert all(torch.equal(tensor, learned[name]) for name, tensor in model.state_dict().items())


def test_units_beyond_the_first_ones_are_those_of_the_large_network_whatever_the_order(cases):
    case = cases["mlp"]
    model, inputs, units, names, reserve = make(case, more=4)
    large, at_once = copy.deepcopy(model), units
    reserve.store(large, units, names)
    at_once = apply_plan(grow(units, dict.fromkeys(names, 4), start="gated"), large)
    reserve.restore(large, at_once, names)
    for name, count in ((names[1], 1), (names[0], 4), (names[1], 3)):
        reserve.store(model, units, [name])
        units = apply_plan(grow(units, {name: count}, start="gated"), model)
        reserve.restore(model, units, [name])
    assert torch.equal(model(inputs), large(inputs))


def test_a_reserve_goes_on_from_its_state(cases):
    reserve, other = (make(cases["mlp"], more=2)[-1] for _ in range(2))
    state = {name: tensor + 1 for name, tensor in reserve.state_dict().items()}
    other.load_state_dict(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())
