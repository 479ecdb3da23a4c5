"""Assembles one trial: prepared data, network, task and policy become a trainer."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from neurosearch.build.head import head_of, with_head
from neurosearch.build.pretrained import load_pretrained
from neurosearch.build.remedies import build_augmentation, build_sampling, build_second_stage, with_mixing
from neurosearch.build.task import build_task
from neurosearch.config.base import Fields
from neurosearch.config.data import DataFields
from neurosearch.config.kinds import kinds
from neurosearch.config.training import TrainingFields
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.known import Known
from neurosearch.data.long_tail import Imbalance
from neurosearch.data.prepared import PreparedData, prepare
from neurosearch.data.selection import PrepareSettings
from neurosearch.randomness import derive_seed
from neurosearch.training.checkpoint import FolderCheckpointStore
from neurosearch.training.compiler import missing_compiler
from neurosearch.training.records import TrialFailed
from neurosearch.training.seams import Batches, GrowthPolicy
from neurosearch.training.settings import TrainingSettings
from neurosearch.training.trainer import Trainer
from neurosearch.training.zapping import Zapping

if TYPE_CHECKING:
    from neurosearch.data.arrays import ArraySource
    from neurosearch.training.distributed import Ranks


def prepare_data(config: TrialConfig, folder: Path, known: Known | None = None) -> PreparedData:
    """Returns the trial's data, written below `folder` unless they are there (once per node, not once per trial).

    Args:
        config: The trial.
        folder: Holds one folder for each way of preparing.
        known: What the data must be, if trials of the study were trained on them before.

    Raises:
        DataError: If the data cannot be used as the config asks, or are not what is known.
        OSError: If `folder` cannot be written.
    """
    return prepare(prepare_settings(config.data), data_source(config.data), folder, known)


def data_source(fields: Fields) -> "ArraySource":
    """Returns where the arrays of a data section come from; nothing is read yet."""
    source: ArraySource = kinds("data")[kind_of(fields)].build(fields)
    return source


def prepare_settings(fields: Fields) -> PrepareSettings:
    """Returns how a data section wants its data thinned, split and resized."""
    assert isinstance(fields, DataFields), f"the fields of data kind {kind_of(fields)!r} must derive from DataFields"
    wanted = fields.imbalance
    imbalance = None if wanted is None else Imbalance(wanted.profile, wanted.ratio)
    return PrepareSettings(imbalance, fields.validation_share, fields.split_seed, fields.resize)


def build_model(config: TrialConfig, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Builds the config's network at its base widths, its weights drawn from the trial's seed alone.

    Pretrained weights are not among them: `build.pretrained` puts them in where a training begins.

    Args:
        config: The trial.
        input_shape: Of one example, (features,) or (channels, height, width).
        num_outputs: Number of classes, or of targets.

    Raises:
        ValueError: If the network cannot read such examples, or has not the last layer that the training needs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "init"))
        network = build_network(config.model, input_shape, num_outputs)
        return with_head(network, head_of(config.training), input_shape, num_outputs)


def build_network(model: Fields, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Builds the network of a model section, its last layer as the model has it; else as `build_model`.

    Its weights come from torch's global generator.
    """
    network: nn.Module = kinds("models")[kind_of(model)].build(model, input_shape, num_outputs)
    return network


def build_policy(config: TrialConfig) -> GrowthPolicy:
    """Builds who grows and prunes."""
    policy: GrowthPolicy = kinds("growth")[kind_of(config.growth)].build(config.growth)
    return policy


def build_batches(config: TrialConfig, data: PreparedData, device: torch.device) -> Batches:
    """Returns the trial's data in the batches of its training, on a device.

    Raises:
        ValueError: If they cannot be augmented as the config asks.
    """
    train, validation, num_classes = data.train(), data.validation(), data.manifest.num_classes
    batches = ArrayBatches(
        train,
        validation,
        config.training.batch_size,
        config.seed,
        device,
        num_classes,
        data.normalise(),
        sampling=build_sampling(config),
        augmentation=build_augmentation(config, data.manifest),
    )
    return with_mixing(batches, config, device)


def build_trainer(
    config: TrialConfig,
    data: PreparedData,
    checkpoint_folder: Path,
    device: torch.device,
    ranks: "Ranks | None" = None,
    batches: Batches | None = None,
) -> Trainer:
    """Returns the trainer of a trial; it goes on from the newest checkpoint in `checkpoint_folder`, if there is one.

    Args:
        config: The trial.
        data: What it is trained by.
        checkpoint_folder: Where its states are kept.
        device: Where it is trained.
        ranks: The processes that train it together, each with a trainer of its own; None for this one alone.
        batches: What it is trained by if not by all of the data.

    Raises:
        TrialFailed: Its steps are to be compiled, and cannot be on this machine.
    """
    _require_compiler(config, device)
    manifest = data.manifest
    model = build_model(config, manifest.input_shape, manifest.num_outputs)
    load_pretrained(model, config.model, manifest.input_shape, manifest.num_outputs)
    return Trainer(
        settings=training_settings(config.training, config.seed),
        model=model,
        batches=build_batches(config, data, device) if batches is None else batches,
        task=build_task(config, manifest),
        policy=build_policy(config),
        checkpoints=FolderCheckpointStore(checkpoint_folder),
        device=device,
        example_inputs=(torch.zeros(2, *manifest.input_shape),),
        ranks=ranks,
        second_stage=build_second_stage(config, manifest),
        zapping=build_zapping(config),
    )


def _require_compiler(config: TrialConfig, device: torch.device) -> None:
    why = missing_compiler() if config.training.compile and device.type == "cpu" else None
    if why is not None:
        raise TrialFailed(f"training.compile is on, but {why}, or set training.compile: false.")


def build_zapping(config: TrialConfig) -> Zapping | None:
    """Returns when the class head is drawn anew while the network trains; None for never."""
    training = config.training
    return Zapping(training.zap_period_epochs, training.zap_stop_share) if training.zap_period_epochs else None


def training_settings(fields: TrainingFields, seed: int) -> TrainingSettings:
    """Returns the trainer's settings; what the data, the loss and the task take from the section is not among them."""
    return TrainingSettings(
        epochs=fields.epochs,
        optimizer=fields.optimizer,
        learning_rate=fields.learning_rate,
        momentum=fields.momentum,
        weight_decay=fields.weight_decay,
        schedule=fields.schedule,
        drops=fields.drops,
        drop_factor=fields.drop_factor,
        warmup_epochs=fields.warmup_epochs,
        checkpoint_every_epochs=fields.checkpoint_every_epochs,
        importance_examples=fields.importance_examples,
        decorrelation=fields.decorrelation,
        amp=fields.bf16,
        channels_last=fields.channels_last,
        compiled=fields.compile,
        measure_latency=fields.measure_latency,
        seed=seed,
    )
