"""A pack's member is the training that it would be alone, whoever else is in the pack."""

import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosearch.training.chain import NotPackable
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.pack import Pack
from neurosearch.training.records import TrialFailed
from tests.training.members import CASES, assert_same, named, train

VARIED = ({}, {"dropout": 0.3}, {"norm": "batch"}, {"activation": "gelu", "optimizer": "sgd"}, {"optimizer": "adam"})


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_pack_of_one_is_the_sequential_trainer(build_member, case):
    # In float64: behind a batch normalisation a bias has no gradient, and Adam takes whole steps by its rounding.
    alone, member = (build_member(3, dtype=torch.float64, **case) for _ in range(2))
    list(alone.epochs())
    train([member])
    assert_same(member, alone, tolerance=1e-7)


@pytest.mark.parametrize("case", [each for each in CASES if each.get("norm") != "batch"], ids=named)
def test_so_it_is_in_single_precision(build_member, case):
    alone, member = build_member(3, **case), build_member(3, **case)
    list(alone.epochs())
    train([member])
    for one, other in zip(alone.model.parameters(), member.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_member_is_bit_for_bit_the_same_in_packs_of_1_4_and_16(build_member, case):
    packs = [[build_member(seed, **case) for seed in range(count)] for count in (1, 4, 16)]
    for pack in packs:
        train(pack)
    assert_same(packs[1][0], packs[0][0])
    assert_same(packs[2][0], packs[0][0])
    assert_same(packs[2][3], packs[1][3])


@given(
    st.lists(st.tuples(st.sampled_from([(8, 6), (5, 20), (7,), (40, 33)]), st.sampled_from(VARIED)), max_size=4),
    st.sampled_from(["static", "periodic", "nimble"]),
    st.integers(0, 4),
)
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_member_is_the_same_in_any_company(build_member, others, policy, place):
    own = {"policy": policy, "norm": "batch", "dropout": 0.1}
    alone, member = build_member(1, **own), build_member(1, **own)
    train([alone])
    company = [
        build_member(10 + index, widths=widths, epochs=2 + index, learning_rate=0.003 * (index + 1), **varied)
        for index, (widths, varied) in enumerate(others)
    ]
    place = min(place, len(company))
    train([*company[:place], member, *company[place:]])
    assert_same(member, alone)


@pytest.mark.parametrize("policy", ["static", "periodic", "nimble"])
def test_a_member_leaves_and_goes_on_alone_and_one_that_began_alone_joins(build_member, policy):
    case = {"policy": policy, "dtype": torch.float64, "norm": "batch", "dropout": 0.2}
    expected = [build_member(seed, **case) for seed in range(3)]
    for trainer in expected:
        list(trainer.epochs())
    leaving, staying, joining = (build_member(seed, **case) for seed in range(3))
    pack, alone = Pack(), joining.epochs()
    next(alone)
    train([leaving, staying], epochs=2, pack=pack)
    list(leaving.epochs())
    train([joining, staying], pack=pack)
    for member, other in zip((leaving, staying, joining), expected, strict=True):
        assert_same(member, other, tolerance=1e-7)


def test_a_member_that_was_away_for_an_epoch_comes_back_as_it_is(build_member):
    alone, member, other = build_member(0), build_member(0), build_member(1)
    list(alone.epochs())
    pack = Pack()
    train([member, other], epochs=2, pack=pack)
    next(member.epochs())
    train([member, other], pack=pack)
    for one, same in zip(member.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.allclose(one, same, atol=1e-5)


@pytest.mark.parametrize("policy", ["static", "periodic", "nimble"])
def test_members_of_a_killed_pack_go_on_from_their_checkpoints(build_member, policy):
    whole = [build_member(seed, policy) for seed in range(4)]
    train(whole)
    stores = [MemoryCheckpointStore() for _ in range(4)]
    train([build_member(seed, policy, store=store) for seed, store in enumerate(stores)], epochs=3)
    # Two of them in one pack, in another order, the others each in a pack of its own.
    resumed = [build_member(seed, policy, store=store) for seed, store in enumerate(stores)]
    train([resumed[2], resumed[0]])
    train([resumed[1]])
    train([resumed[3]])
    for one, other in zip(resumed, whole, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("policy", ["static", "nimble"])
def test_a_diverging_member_ends_alone(build_member, policy):
    alone = [build_member(seed, policy) for seed in range(2)]
    train(alone)
    first, second = (build_member(seed, policy) for seed in range(2))
    wild = build_member(2, policy, learning_rate=1e30, optimizer="sgd")
    calm = build_member(3, policy, optimizer="sgd")
    last = train([first, wild, second, calm])
    assert isinstance(last[wild], TrialFailed)
    assert "loss became" in last[wild].reason
    assert calm.is_over
    for one, other in zip((first, second), alone, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("policy", ["static", "nimble"])
def test_all_members_may_end(build_member, policy):
    members = [build_member(seed, policy, learning_rate=1e30, optimizer="sgd") for seed in range(2)]
    last = train(members)
    assert all(isinstance(result, TrialFailed) for result in last.values())


def test_the_time_of_an_epoch_is_shared(build_member):
    members = [build_member(seed) for seed in range(4)]
    started = time.perf_counter()
    last = train(members, epochs=1)
    elapsed = time.perf_counter() - started
    assert 0 < sum(record.metrics["epoch_seconds"] for record in last.values()) <= elapsed


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"decorrelation": 0.1}, "training.decorrelation"),
        ({"amp": True}, "training.bf16"),
        ({"batch_size": 20}, "training.batch_size"),
    ],
)
def test_what_cannot_share_a_step_is_refused_by_its_field(build_member, changes, field):
    with pytest.raises(NotPackable, match=field) as caught:
        Pack().train_epoch([build_member(0), build_member(1, **changes)])
    assert caught.value.field == field


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd"}, {"policy": "periodic"}], ids=named)
def test_convolutional_networks_share_steps_too(build_trainer, changes):
    alone = build_trainer(model="cnn", **changes)
    list(alone.epochs())
    packs = [
        [
            build_trainer(model="cnn", **changes),
            *(build_trainer(model="cnn", learning_rate=0.002) for _ in range(others)),
        ]
        for others in (0, 3, 15)
    ]
    for pack in packs:
        train(pack)
        for (name, one), (_, other) in zip(_tensors(pack[0]), _tensors(packs[0][0]), strict=True):
            assert torch.allclose(one, other, atol=1e-6), name
    for (name, one), (_, other) in zip(_tensors(packs[0][0]), _tensors(alone), strict=True):
        assert torch.allclose(one, other, atol=1e-5), name


def _tensors(trainer):
    """Parameters and batch statistics."""
    return list(trainer.model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "field"), [({"policy": "nimble"}, "growth.kind"), ({"dropout": 0.5}, "model.dropout")]
)
def test_what_only_perceptrons_do_together_is_refused_by_its_field(build_trainer, changes, field):
    with pytest.raises(NotPackable, match=field):
        Pack().train_epoch([build_trainer(model="cnn", **changes)])
