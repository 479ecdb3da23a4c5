from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from neurosearch.build.memory import MemoryNeed, gpu_share, memory_need, peak_sizes
from neurosearch.build.trial import build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.training.memory import CONTEXT_BYTES

Make = Callable[..., TrialConfig]
GIB = 2**30
GROWTHS: dict[str, dict[str, Any]] = {
    "static": {"kind": "static"},
    "periodic": {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1, "grow_share": 1.0, "stop_share": 1.0},
    "events": {"kind": "events", "events": [{"epoch": 0, "add_share": 0.5}, {"epoch": 1, "remove_share": 0.5}]},
    "nimble": {"kind": "nimble", "maximum_share": 1.5, "start_share": 1.5, "target_share": 1.5},
}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "widths": [512, 256]},
    "cnn": {"kind": "cnn", "widths": [16, 32]},
}


def measured_peak(training: Callable[[], object]) -> int:
    """Returns the most bytes that the CPU's allocator had handed out during a training, beyond those of before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        training()
    assert recorded.profiler is not None
    assert recorded.profiler.kineto_results is not None
    live = peak = 0
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize(
    ("model", "growth", "decorrelation"),
    [
        ("mlp", "static", 0.0),
        ("mlp", "periodic", 0.0),
        ("mlp", "events", 0.0),
        ("mlp", "nimble", 0.0),
        ("cnn", "periodic", 0.0),
        ("cnn", "static", 0.5),
    ],
)
def test_the_prediction_is_within_a_third_of_what_a_training_was_measured_to_hold(
    trial: Make, digits: PreparedData, tmp_path: Path, model: str, growth: str, decorrelation: float
) -> None:
    training = {"epochs": 2, "batch_size": 256, "importance_examples": 16, "decorrelation": decorrelation}
    config = trial(model=MODELS[model], growth=GROWTHS[growth], training=training)

    def train() -> None:
        trainer = build_trainer(config, digits, tmp_path, torch.device("cpu"))
        for _ in trainer.epochs():
            pass
        trainer.finish()

    predicted, measured = memory_need(config, digits.manifest, on_gpu=False).total, measured_peak(train)
    assert measured / 1.35 < predicted < measured * 1.35, (predicted, measured)


@pytest.mark.parametrize(
    ("growth", "sizes"),
    [
        ("static", {"a": 10, "b": 3}),
        ("periodic", {"a": 20, "b": 6}),
        ("events", {"a": 15, "b": 5}),
        ("nimble", {"a": 15, "b": 5}),
    ],
)
def test_the_largest_sizes_are_those_of_the_schedule(trial: Make, growth: str, sizes: dict[str, int]) -> None:
    assert peak_sizes(trial(growth=GROWTHS[growth]), {"a": 10, "b": 3}) == sizes


def test_on_a_gpu_the_data_counts(trial: Make, digits: PreparedData) -> None:
    manifest = digits.manifest
    on_gpu, on_cpu = memory_need(trial(), manifest, on_gpu=True), memory_need(trial(), manifest, on_gpu=False)
    examples = sum(manifest.train_counts) + sum(manifest.validation_counts)
    assert on_gpu.total - on_cpu.total == examples * (64 * 4 + 8)


def test_a_network_of_any_size_is_predicted_at_once(trial: Make, digits: PreparedData) -> None:
    huge = trial(model={"kind": "mlp", "widths": [10**6, 10**6]})
    assert memory_need(huge, digits.manifest, on_gpu=True).weights > 4 * 10**12


@pytest.mark.parametrize(
    ("need", "share"), [(0, 1 / 8), (GIB, 1 / 8), (20 * GIB, 3 / 8), (60 * GIB, 1.0), (900 * GIB, 1.0)]
)
def test_shares_come_in_eighths(need: int, share: float) -> None:
    assert gpu_share(MemoryNeed(need, 0, 0, 0), 80 * GIB) == share


def test_the_context_of_a_process_counts() -> None:
    assert gpu_share(MemoryNeed(0, 0, 0, 0), 4 * CONTEXT_BYTES) == 0.25


def test_what_a_classifier_is_retrained_on_counts(trial: Make, digits: PreparedData) -> None:
    manifest = replace(digits.manifest, train_counts=(10**9,) * 10)
    training = {"epochs": 2, "classifier": "retrained"}
    wide = memory_need(trial(model=MODELS["mlp"], training=training), manifest, on_gpu=False)
    assert wide.working == 2 * 10**10 * 256 * 4
    assert memory_need(trial(model=MODELS["mlp"]), manifest, on_gpu=False).working < wide.working / 100
