"""What tests of packs do with members: train them together, and compare what has become of them."""

import pytest
import torch

from neurosearch.training.pack import Pack

MEASURED = {"images_per_second", "epoch_seconds"}


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


def assert_same(one, other, tolerance=0.0, ignored=""):
    """Compares all that two trainings would keep: weights, moments, statistics, sizes, history, events."""
    ours, theirs = ({path: each for path, each in leaves(which._state()) if path != ignored} for which in (one, other))
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
