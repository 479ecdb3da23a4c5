"""A pack's member is the training that it would be alone, whoever else is in the pack."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import NimblePolicy, PeriodicPolicy, StaticPolicy
from neurosearch.models import Mlp, MlpShape
from neurosearch.training.chain import NotPackable
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy, LogitAdjustment
from neurosearch.training.pack import Pack
from neurosearch.training.records import TrialFailed
from neurosearch.training.tasks import Classification, Regression
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")
COUNTS = (25, 10, 6)
NAMES = ["a", "b", "c"]
MEASURED = {"images_per_second", "epoch_seconds"}
VARIED = ({}, {"dropout": 0.3}, {"norm": "batch"}, {"activation": "gelu", "optimizer": "sgd"}, {"optimizer": "adam"})


@pytest.fixture
def build(training_settings, growth_settings):
    """Makes trainings of a tiny problem; each seed has data order, weights and dropout of its own."""
    periodic, nimble = growth_settings
    policies = {
        "static": StaticPolicy,
        "periodic": lambda: PeriodicPolicy(periodic),
        "nimble": lambda: NimblePolicy(replace(nimble, maximum_share=1.5)),
    }

    def make(
        seed,
        policy="static",
        *,
        dtype=torch.float32,
        widths=(8, 6),
        norm="none",
        activation="relu",
        dropout=0.0,
        store=None,
        task="classes",
        batch_size=10,
        **changes,
    ):
        train, validation = (_blobs(dtype, counts, number) for counts, number in ((COUNTS, 1), ((9, 9, 9), 2)))
        learned = Classification(CrossEntropy("cross_entropy", None), COUNTS, NAMES)
        num_classes, num_outputs = 3, 3
        match task:
            case "adjusted":
                loss = LogitAdjustment("balanced_softmax", COUNTS, 1.0, None)
                learned = Classification(
                    CrossEntropy("cross_entropy", None), COUNTS, NAMES, late_loss=loss, late_share=0.5
                )
            case "quantities":
                learned, num_classes, num_outputs = Regression("huber", ["y", "z"], [1.0, 2.0]), 0, 2
                train, validation = (Arrays(each.x, each.x[:, 0, :2, 0].copy()) for each in (train, validation))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Mlp(MlpShape((1, 4, 4), widths, num_outputs, activation, norm, dropout)).to(dtype)
        return Trainer(
            settings=replace(training_settings, seed=seed, **changes),
            model=model,
            batches=ArrayBatches(train, validation, batch_size, seed, CPU, num_classes),
            task=learned,
            policy=policies[policy](),
            checkpoints=MemoryCheckpointStore() if store is None else store,
            device=CPU,
            example_inputs=(torch.zeros(2, 1, 4, 4, dtype=dtype),),
        )

    return make


def _blobs(dtype, counts, seed):
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    labels = np.repeat(np.arange(3), counts)
    x = centers[labels] + 0.5 * generator.normal(size=(len(labels), 1, 4, 4))
    return Arrays(x.astype(np.float64 if dtype == torch.float64 else np.float32), labels.astype(np.int64))


def train(trainers, epochs=100, pack=None):
    """Trains all of them together as long as they have epochs left; returns what each last epoch gave."""
    pack, last = pack or Pack(), {}
    for trainer in trainers:
        trainer.prepare()
    for _ in range(epochs):
        trainers = [trainer for trainer in trainers if not trainer.is_over]
        if not trainers:
            break
        results = pack.train_epoch(trainers)
        last |= dict(zip(trainers, results, strict=True))
        trainers = [each for each, result in zip(trainers, results, strict=True) if not isinstance(result, Exception)]
    return last


def leaves(tree, path=""):
    """Yields every value of a state with its path, but what is measured by a clock."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key not in MEASURED:
                yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}.{index}")
    else:
        yield path, tree


def assert_same(one, other, tolerance=0.0):
    """Compares all that two trainings would keep: weights, moments, statistics, sizes, history, events."""
    ours, theirs = dict(leaves(one._state())), dict(leaves(other._state()))
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        expected = theirs[path]
        if isinstance(value, torch.Tensor):
            assert value.shape == expected.shape, path
            assert torch.allclose(value, expected, rtol=tolerance, atol=tolerance), path
        elif isinstance(value, float):
            assert value == pytest.approx(expected, rel=tolerance, abs=tolerance), path
        else:
            assert value == expected, path


CASES = [
    {},
    {"norm": "batch", "optimizer": "sgd", "momentum": 0.9},
    {"dropout": 0.3, "activation": "gelu"},
    {"activation": "tanh", "optimizer": "adam", "weight_decay": 0.1},
    {"task": "quantities"},
    {"task": "adjusted"},
    {"policy": "periodic", "norm": "batch"},
    {"policy": "nimble", "dropout": 0.2},
    {"policy": "nimble", "norm": "batch", "optimizer": "sgd", "momentum": 0.0},
]


def named(case):
    return ", ".join(f"{name} {value}" for name, value in case.items()) or "plain"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_pack_of_one_is_the_sequential_trainer(build, case):
    # In float64: behind a batch normalisation a bias has no gradient, and Adam takes whole steps by its rounding.
    alone, member = (build(3, dtype=torch.float64, **case) for _ in range(2))
    list(alone.epochs())
    train([member])
    assert_same(member, alone, tolerance=1e-7)


@pytest.mark.parametrize("case", [each for each in CASES if each.get("norm") != "batch"], ids=named)
def test_so_it_is_in_single_precision(build, case):
    alone, member = build(3, **case), build(3, **case)
    list(alone.epochs())
    train([member])
    for one, other in zip(alone.model.parameters(), member.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_member_is_bit_for_bit_the_same_in_packs_of_1_4_and_16(build, case):
    packs = [[build(seed, **case) for seed in range(count)] for count in (1, 4, 16)]
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
def test_a_member_is_the_same_in_any_company(build, others, policy, place):
    own = {"policy": policy, "norm": "batch", "dropout": 0.1}
    alone, member = build(1, **own), build(1, **own)
    train([alone])
    company = [
        build(10 + index, widths=widths, epochs=2 + index, learning_rate=0.003 * (index + 1), **varied)
        for index, (widths, varied) in enumerate(others)
    ]
    place = min(place, len(company))
    train([*company[:place], member, *company[place:]])
    assert_same(member, alone)


@pytest.mark.parametrize("policy", ["static", "periodic", "nimble"])
def test_a_member_leaves_and_goes_on_alone_and_one_that_began_alone_joins(build, policy):
    case = {"policy": policy, "dtype": torch.float64, "norm": "batch", "dropout": 0.2}
    expected = [build(seed, **case) for seed in range(3)]
    for trainer in expected:
        list(trainer.epochs())
    leaving, staying, joining = (build(seed, **case) for seed in range(3))
    pack, alone = Pack(), joining.epochs()
    next(alone)
    train([leaving, staying], epochs=2, pack=pack)
    list(leaving.epochs())
    train([joining, staying], pack=pack)
    for member, other in zip((leaving, staying, joining), expected, strict=True):
        assert_same(member, other, tolerance=1e-7)


def test_a_member_that_was_away_for_an_epoch_comes_back_as_it_is(build):
    alone, member, other = build(0), build(0), build(1)
    list(alone.epochs())
    pack = Pack()
    train([member, other], epochs=2, pack=pack)
    next(member.epochs())
    train([member, other], pack=pack)
    for one, same in zip(member.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.allclose(one, same, atol=1e-5)


@pytest.mark.parametrize("policy", ["static", "periodic", "nimble"])
def test_members_of_a_killed_pack_go_on_from_their_checkpoints(build, policy):
    whole = [build(seed, policy) for seed in range(4)]
    train(whole)
    stores = [MemoryCheckpointStore() for _ in range(4)]
    train([build(seed, policy, store=store) for seed, store in enumerate(stores)], epochs=3)
    # Two of them in one pack, in another order, the others each in a pack of its own.
    resumed = [build(seed, policy, store=store) for seed, store in enumerate(stores)]
    train([resumed[2], resumed[0]])
    train([resumed[1]])
    train([resumed[3]])
    for one, other in zip(resumed, whole, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("policy", ["static", "nimble"])
def test_a_diverging_member_ends_alone(build, policy):
    alone = [build(seed, policy) for seed in range(2)]
    train(alone)
    first, second = (build(seed, policy) for seed in range(2))
    wild = build(2, policy, learning_rate=1e30, optimizer="sgd")
    calm = build(3, policy, optimizer="sgd")
    last = train([first, wild, second, calm])
    assert isinstance(last[wild], TrialFailed)
    assert "loss became" in last[wild].reason
    assert calm.is_over
    for one, other in zip((first, second), alone, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("policy", ["static", "nimble"])
def test_all_members_may_end(build, policy):
    members = [build(seed, policy, learning_rate=1e30, optimizer="sgd") for seed in range(2)]
    last = train(members)
    assert all(isinstance(result, TrialFailed) for result in last.values())


def test_the_time_of_an_epoch_is_shared(build):
    members = [build(seed) for seed in range(4)]
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
def test_what_cannot_share_a_step_is_refused_by_its_field(build, changes, field):
    with pytest.raises(NotPackable, match=field) as caught:
        Pack().train_epoch([build(0), build(1, **changes)])
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
