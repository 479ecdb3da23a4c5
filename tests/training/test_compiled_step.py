"""A compiled step computes what the steps of its members alone do, and is compiled once for all that they may become.

Most tests run the traced step operation by operation: exact, and without a C++ compiler. The last ones compile it.
"""

import pytest
import torch

from neurosearch.training import compiled_step
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.compiler import missing_compiler
from neurosearch.training.pack import Pack
from neurosearch.training.records import TrialFailed
from tests.training.members import assert_same, named, train

CASES = [
    {},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.1, "task": "quantities"},
    {"activation": "tanh", "optimizer": "adam", "weight_decay": 0.1},
    {"activation": "gelu", "task": "adjusted"},
    {"policy": "periodic"},
    {"policy": "nimble", "optimizer": "adam"},
    {"policy": "growing", "optimizer": "sgd", "momentum": 0.0, "activation": "tanh"},
    {"policy": "growing", "task": "quantities", "activation": "tanh"},
]
SMALL = {"widths": (5, 4)}  # which grow to 7 and 6: no other step is needed
SHORT = {"batch_size": 41, "epochs": 12}  # all examples in one batch: one step to trace
needs_compiler = pytest.mark.skipif(missing_compiler() is not None, reason=f"compiling: {missing_compiler()}")


@pytest.fixture
def traced(monkeypatch):
    """Runs traced steps as they are; a list with one entry for each that would have been compiled."""
    counted = []

    def as_it_is(graph):
        counted.append(graph)
        return graph

    monkeypatch.setattr(compiled_step, "_fused", as_it_is)
    monkeypatch.setattr(compiled_step, "_COMPILED", {})
    return counted


@pytest.fixture
def build(build_member):
    """Makes trainings whose steps are compiled in a pack."""
    return lambda seed, policy="static", **changes: build_member(seed, policy, compiled=True, **{**SMALL, **changes})


@pytest.fixture
def build_alone(build_member):
    """Makes the same trainings, nothing of which is compiled."""
    return lambda seed, policy="static", **changes: build_member(seed, policy, **{**SMALL, **changes})


@pytest.mark.parametrize("case", CASES, ids=named)
def test_it_is_the_step_of_the_sequential_trainer(build, build_alone, traced, case):
    case = {"dtype": torch.float64, **SHORT, **case}
    alone, member = build_alone(3, **case), build(3, **case)
    list(alone.epochs())
    train([member])
    assert_same(member, alone, tolerance=1e-9, ignored=".settings.compiled")
    assert traced
    if case.get("policy") == "growing":
        assert sum(event.added for event in member.events) >= 4


@pytest.mark.parametrize("case", CASES[5:], ids=named)
def test_a_member_is_bit_for_bit_the_same_in_packs_of_1_4_and_16(build, traced, case):
    packs = [[build(seed, **SHORT, **case) for seed in range(count)] for count in (1, 4, 16)]
    for pack in packs:
        train(pack)
    assert traced
    assert_same(packs[1][0], packs[0][0])
    assert_same(packs[2][0], packs[0][0])
    assert_same(packs[2][3], packs[1][3])


def test_what_a_pack_becomes_needs_no_new_step(build, traced):
    members = [build(seed, "growing", epochs=2 + seed % 5) for seed in range(16)]
    train(members)
    assert sum(event.added for member in members for event in member.events) > 16
    assert {len(targets) for _, targets in members[0]._batches.train(0)} == {10, 11}
    assert len(traced) == 2
    train([build(seed, "growing", widths=(3, 3), epochs=2) for seed in range(3)])  # another pack of the process
    assert len(traced) == 2


@pytest.mark.parametrize(("count", "seats"), [(1, 16), (16, 16), (17, 32), (64, 64), (65, 128), (256, 256), (300, 512)])
def test_seats_come_in_few_numbers(count, seats):
    assert compiled_step.num_seats(count) == seats


def test_a_seat_that_nobody_has_adds_nothing(build, traced):
    case = {"policy": "growing", "dtype": torch.float64, **SHORT}
    few, many = ([build(seed, **case) for seed in range(count)] for count in (3, 17))
    train(few)
    train(many)
    assert len(traced) == 2
    for one, other in zip(few, many[:3], strict=True):
        assert_same(one, other, tolerance=1e-12)


def test_packs_whose_losses_differ_in_a_constant_share_no_step(build, traced):
    plain, adjusted = (build(0, task=task, batch_size=41, epochs=2) for task in ("classes", "adjusted"))
    train([plain])
    train([adjusted])  # in its second half adjusted
    assert len(traced) == 2


@pytest.mark.parametrize("case", [{"norm": "batch"}, {"dropout": 0.1}, {"widths": (64, 48)}], ids=named)
def test_what_gains_nothing_is_not_compiled(build, build_alone, traced, case):
    plain, member = build_alone(0, **case), build(0, **case)
    train([plain])
    train([member])
    assert_same(member, plain, ignored=".settings.compiled")
    assert not traced


def test_small_and_large_networks_are_in_one_pack(build, build_alone, traced):
    cases = [{}, {"widths": (64, 48)}, {"policy": "growing"}, {"dropout": 0.2}]
    members, alone = ([make(seed, **SHORT, **case) for seed, case in enumerate(cases)] for make in (build, build_alone))
    train(members)
    for one, other in zip(members, alone, strict=True):
        list(other.epochs())
        for ours, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)
    assert traced


@pytest.mark.parametrize("policy", ["static", "growing"])
def test_a_member_leaves_and_goes_on_elsewhere_and_one_that_began_elsewhere_joins(build, build_alone, traced, policy):
    case = {"policy": policy, "dtype": torch.float64, **SHORT}
    expected = [build_alone(seed, **case) for seed in range(3)]
    for trainer in expected:
        list(trainer.epochs())
    leaving, staying, joining = (build(seed, **case) for seed in range(3))
    pack, others = Pack(), Pack()
    train([joining], epochs=1, pack=others)
    train([leaving, staying], epochs=2, pack=pack)
    train([leaving], pack=others)
    train([joining, staying], pack=pack)
    for member, other in zip((leaving, staying, joining), expected, strict=True):
        assert_same(member, other, tolerance=1e-9, ignored=".settings.compiled")


@pytest.mark.parametrize("policy", ["static", "periodic", "growing"])
def test_members_of_a_killed_pack_go_on_from_their_checkpoints(build, traced, policy):
    whole = [build(seed, policy, **SHORT) for seed in range(4)]
    train(whole)
    stores = [MemoryCheckpointStore() for _ in range(4)]
    train([build(seed, policy, store=store, **SHORT) for seed, store in enumerate(stores)], epochs=3)
    resumed = [build(seed, policy, store=store, **SHORT) for seed, store in enumerate(stores)]
    train([resumed[2], resumed[0]])
    train([resumed[1]])
    train([resumed[3]])
    for one, other in zip(resumed, whole, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("policy", ["static", "growing"])
def test_a_diverging_member_ends_alone(build, traced, policy):
    case = {"policy": policy, "optimizer": "sgd", "epochs": 3}
    alone = [build(seed, **case) for seed in range(2)]
    train(alone)
    first, second = (build(seed, **case) for seed in range(2))
    wild = build(2, **case, learning_rate=1e30)
    last = train([first, wild, second])
    assert isinstance(last[wild], TrialFailed)
    assert "loss became" in last[wild].reason
    for one, other in zip((first, second), alone, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("widths", [(8, 6), (9, 4)])
def test_who_outgrows_a_step_gets_another(build, build_alone, traced, widths):
    case = {"policy": "growing", "widths": widths, "dtype": torch.float64, **SHORT}
    alone, member, other = build_alone(0, **case), build(0, **case), build(1, **{**case, **SMALL})
    list(alone.epochs())
    train([member, other])
    assert_same(member, alone, tolerance=1e-9, ignored=".settings.compiled")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        {"policy": "growing", "optimizer": "sgd", "momentum": 0.0, "activation": "tanh", "task": "quantities"},
        {"policy": "nimble", "optimizer": "adam"},
    ],
    ids=named,
)
def test_what_is_really_compiled_is_the_same_to_rounding_and_bit_for_bit_in_any_pack(build, build_alone, case):
    case = {**SHORT, **case}
    alone = build_alone(0, **case)
    list(alone.epochs())
    packs = [[build(seed, **case) for seed in range(count)] for count in (1, 4, 16, 17)]
    for pack in packs:
        train(pack)
    for ours, theirs in zip(packs[0][0].model.parameters(), alone.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    for pack in packs[1:]:
        assert_same(pack[0], packs[0][0])
    assert_same(packs[3][3], packs[1][3])
