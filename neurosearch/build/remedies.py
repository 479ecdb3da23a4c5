"""What feeds the network of a trial, and what becomes of its classifier, from the fields of its training section."""

from copy import deepcopy
from typing import assert_never

import torch
from torch import nn

from neurosearch.build.losses import build_loss
from neurosearch.config.losses import CrossEntropyFields, LabelAwareSmoothingFields
from neurosearch.config.remedies import (
    CropFlipFields,
    JointFields,
    MixupFields,
    RemixFields,
    RetrainedFields,
    TauNormalisedFields,
    UnaugmentedFields,
    UnmixedFields,
)
from neurosearch.config.trial import TrialConfig
from neurosearch.data.augmentation import Augmentation
from neurosearch.data.manifest import Manifest
from neurosearch.data.sampling import Sampling
from neurosearch.data.writing import build_preprocess
from neurosearch.neurons import find_units
from neurosearch.training.decorrelation import Decorrelation
from neurosearch.training.losses import ClassLoss
from neurosearch.training.mixing import MixedBatches, Mixing, Mixup, Remix
from neurosearch.training.records import TrialFailed
from neurosearch.training.seams import Batches
from neurosearch.training.second_stage import RetrainedClassifier, SecondStage, TauNormalisedClassifier, find_head
from neurosearch.training.tasks import Classification


def build_sampling(config: TrialConfig) -> Sampling:
    """Builds how often the examples of each class come."""
    return Sampling(config.training.sampling, config.training.epochs)


def build_augmentation(config: TrialConfig, manifest: Manifest) -> Augmentation | None:
    """Builds how training images are changed; None where they are not.

    Raises:
        ValueError: If the examples are not images.
    """
    match config.training.augmentation:
        case UnaugmentedFields():
            return None
        case CropFlipFields() as fields:
            _require_images(manifest.input_shape)
            black = torch.zeros(1, *manifest.raw_shape, dtype=getattr(torch, manifest.dtype))
            fill = build_preprocess(manifest)(black)[0, :, 0, 0]
            return Augmentation(fields.crop_padding, fields.flip, tuple(fill.tolist()))
        case unknown:
            assert_never(unknown)


def build_mixing(config: TrialConfig) -> Mixing | None:
    """Builds how training examples are mixed; None where they are not."""
    match config.training.mixing:
        case UnmixedFields():
            return None
        case MixupFields() as fields:
            return Mixup(fields.alpha)
        case RemixFields() as fields:
            return Remix(fields.alpha, fields.kappa, fields.tau)
        case unknown:
            assert_never(unknown)


def with_mixing(batches: Batches, config: TrialConfig, device: torch.device) -> Batches:
    """Returns batches that are mixed as the trial wants it."""
    mixing = build_mixing(config)
    return batches if mixing is None else MixedBatches(batches, mixing, config.seed, device)


def build_second_stage(config: TrialConfig, manifest: Manifest) -> SecondStage | None:
    """Builds what happens to the classifier after the last epoch; None for nothing."""
    match config.training.classifier:
        case JointFields():
            return None
        case RetrainedFields() as fields:
            task = Classification(_loss(fields, manifest), manifest.train_counts, manifest.class_names)
            return RetrainedClassifier(fields.epochs, fields.learning_rate, fields.sampling, task)
        case TauNormalisedFields() as fields:
            return TauNormalisedClassifier(fields.tau)
        case unknown:
            assert_never(unknown)


def require_fit(config: TrialConfig, network: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Checks that examples and network are such as the training section needs.

    Args:
        config: The trial.
        network: Its network, which may be without numbers (meta).
        input_shape: Of one example.

    Raises:
        ValueError: If they are not; it begins with the field.
    """
    if not isinstance(config.training.augmentation, UnaugmentedFields):
        _require_images(input_shape)
    changing_head = {
        "training.classifier": not isinstance(config.training.classifier, JointFields),
        "training.zap_period_epochs": config.training.zap_period_epochs > 0,
    }
    for field in (field for field, is_on in changing_head.items() if is_on):
        example = torch.zeros(1, *input_shape, device=next(network.parameters()).device)
        try:
            find_head(network, example, field)
        except TrialFailed as error:
            raise ValueError(error.reason) from error
    if config.training.batch_size == 1:
        _require_training_on_one(network, input_shape)
    if config.training.decorrelation > 0:
        examples = torch.zeros(2, *input_shape, device=next(network.parameters()).device)
        try:
            Decorrelation(config.training.decorrelation, network, find_units(network, (examples,)))
        except TrialFailed as error:
            raise ValueError(error.reason) from error


def _require_images(input_shape: tuple[int, ...]) -> None:
    if len(input_shape) != 3:
        raise ValueError(
            "training.augmentation: crops and flips need images (channels, height, width), but one example has shape "
            f"{input_shape}. Set augmentation to none, or data.layout to HW, HWC or CHW."
        )


def _require_training_on_one(network: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Refuses a network that normalises over a batch what has one value in it, by running it without numbers."""
    twin = deepcopy(network).to("meta").train()  # running statistics are none of the network's
    try:
        twin(torch.zeros(1, *input_shape, device="meta"))
    except ValueError as error:
        raise ValueError(
            f"training.batch_size: it is 1, but the network takes mean and variance over the examples of a step and "
            f"cannot over one ({error}). Set it to 2 or more, or choose a network without batch normalisation."
        ) from error


def _loss(fields: RetrainedFields, manifest: Manifest) -> ClassLoss:
    smoothed = LabelAwareSmoothingFields(head=fields.head_smoothing, tail=fields.tail_smoothing)
    chosen = CrossEntropyFields() if fields.loss == "cross_entropy" else smoothed
    return build_loss(chosen, manifest.train_counts, None)
