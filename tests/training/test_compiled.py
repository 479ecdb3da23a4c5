import shutil
import warnings

import pytest
import torch

from neurosearch.training import network


@pytest.fixture
def compiles(monkeypatch):
    """Counts graphs instead of compiling them: a list with one entry for each."""
    counted = []

    def backend(graph, example_inputs):
        counted.append(len(example_inputs))
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(network, "_BACKEND", backend)
    yield counted
    torch.compiler.reset()


def test_a_fixed_network_is_compiled_once_for_all_epochs_and_sizes_of_batches(build_trainer, compiles):
    trainer = build_trainer(model="cnn", compiled=True)
    assert len({len(targets) for _, targets in trainer._batches.train(0)}) == 2
    plain = build_trainer(model="cnn")
    assert len(list(trainer.epochs())) == 6
    assert len(compiles) == 1
    assert trainer.finish().record.metrics["task_loss"] == pytest.approx(
        [*plain.epochs()][-1].metrics["task_loss"], rel=1e-4
    )


@pytest.mark.parametrize("policy", ["periodic", "wide_then_prune"])
def test_a_changing_network_is_compiled_once_for_each_structure(build_trainer, compiles, policy):
    trainer = build_trainer(policy=policy, compiled=True)
    with torch._dynamo.config.patch(recompile_limit=2):  # so many versions of a function are kept, eight as a rule
        list(trainer.epochs())
    changed = {event.step for event in trainer.events}
    begins_changed = 0 in changed  # before anything was compiled
    assert len(changed) >= 2
    assert len(compiles) == len(changed) + 1 - begins_changed


def test_a_gated_network_is_not_compiled(build_trainer, compiles):
    trainer = build_trainer(policy="nimble", compiled=True, epochs=2)
    list(trainer.epochs())
    assert trainer.finish().record.metrics["parameters"] > 0
    assert compiles == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for the CPU needs a C++ compiler (g++)")
def test_what_is_really_compiled_trains_as_what_is_not(build_trainer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        (compiled,) = build_trainer(compiled=True, epochs=1, warmup_epochs=0).epochs()
    (plain,) = build_trainer(epochs=1, warmup_epochs=0).epochs()
    assert compiled.metrics["task_loss"] == pytest.approx(plain.metrics["task_loss"], rel=1e-4)
    torch.compiler.reset()
