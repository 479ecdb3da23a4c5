"""How long a training will take, found from a few of its steps: they are done for real and nothing of them is kept."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from neurosearch.build.memory import largest_network
from neurosearch.build.task import build_task
from neurosearch.build.trial import build_batches, build_policy, build_trainer, training_settings
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.growth.static import StaticPolicy
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.few_batches import FewBatches
from neurosearch.training.records import TrialFailed
from neurosearch.training.seams import GrowthPolicy
from neurosearch.training.trainer import Trainer

_STEPS = 6  # of an epoch that are timed
_EPOCHS_AT_LEAST = 2  # the first epoch warms up


@dataclass(frozen=True)
class Speed:
    """What a training takes.

    Attributes:
        epochs: Of the training.
        epochs_timed: How many of them were sampled.
        steps: Optimizer steps of an epoch.
        setup_seconds: From the config to the first step.
        step_seconds: Of a step, mean over the sampled epochs.
        epoch_seconds: Of an epoch with its evaluation, its checkpoint and its changes of the network, mean over the
            sampled epochs.
        peak_epoch_seconds: Of an epoch at the peak of the growth schedule; None where every epoch was sampled.
    """

    epochs: int
    epochs_timed: int
    steps: int
    setup_seconds: float
    step_seconds: float
    epoch_seconds: float
    peak_epoch_seconds: float | None

    @property
    def seconds(self) -> float:
        """Seconds of the whole training; epochs that were not sampled count as if the network were at its peak."""
        rest = self.epoch_seconds if self.peak_epoch_seconds is None else self.peak_epoch_seconds
        timed = self.epochs_timed * self.epoch_seconds
        return self.setup_seconds + timed + (self.epochs - self.epochs_timed) * max(rest, self.epoch_seconds)


def measure_speed(config: TrialConfig, data: PreparedData, device: torch.device, limit_seconds: float) -> Speed:
    """Trains a few steps of as many epochs as the time allows, at least two, and tells what a whole training takes.

    The growth schedule runs as it would: where all epochs are sampled, every change of the network is in the figures.

    Args:
        config: The training.
        data: What it is trained by.
        device: Where.
        limit_seconds: After which no further epoch is sampled.

    Raises:
        TrialFailed: The training fails within its first epoch.
    """
    started = perf_counter()
    few = FewBatches(build_batches(config, data, device), _STEPS, device)
    with tempfile.TemporaryDirectory(prefix="neurosearch-") as folder:
        trainer = build_trainer(config, data, Path(folder), device, batches=few)
        setup_seconds = perf_counter() - started
        found = _sampled(trainer, few, data, until=started + limit_seconds)
    peak = None
    if len(found) < config.training.epochs:
        peak = min(each for each, _ in _sampled(_peak_trainer(config, data, device, few), few, data, until=0.0))
    usual = found[1:] or found  # the first one waits for memory and kernels that later ones find ready
    epoch_seconds = sum(each for each, _ in usual) / len(usual)
    step_seconds = sum(step for _, step in usual) / len(usual)
    return Speed(config.training.epochs, len(found), few.whole_steps, setup_seconds, step_seconds, epoch_seconds, peak)


def _sampled(trainer: Trainer, few: FewBatches, data: PreparedData, until: float) -> list[tuple[float, float]]:
    """Trains a little of epoch after epoch; returns the seconds that a whole one takes, and those of its steps."""
    found: list[tuple[float, float]] = []
    num_validation = sum(data.manifest.validation_counts)
    epochs, before = trainer.epochs(), perf_counter()
    while len(found) < _EPOCHS_AT_LEAST or before <= until:
        try:
            if next(epochs, None) is None:
                break
        except TrialFailed:  # it diverges, say; until then it took what it took
            if found:
                break
            raise
        now = perf_counter()
        more_steps = few.whole_steps - few.steps_per_epoch
        more_validation = few.validation_seconds * (num_validation / few.num_validated - 1)
        found.append((now - before + more_steps * few.step_seconds + more_validation, few.step_seconds))
        before = perf_counter()
    return found


def _peak_trainer(config: TrialConfig, data: PreparedData, device: torch.device, few: FewBatches) -> Trainer:
    """Returns a trainer of the network at its largest, which keeps its size but for a trained one."""
    manifest, policy = data.manifest, build_policy(config)
    model, units = largest_network(config, manifest, torch.device("cpu"))
    policy.attach(units, device, next(model.parameters()).dtype, torch.Generator())
    kept: GrowthPolicy = build_policy(config) if policy.trained() else StaticPolicy()
    return Trainer(
        settings=training_settings(config.training, config.seed),
        model=model,
        batches=few,
        task=build_task(config, manifest),
        policy=kept,
        checkpoints=MemoryCheckpointStore(),
        device=device,
        example_inputs=(torch.zeros(2, *manifest.input_shape),),
    )
