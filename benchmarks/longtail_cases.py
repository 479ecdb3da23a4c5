"""What `longtail.py` trains: networks with their recipes, remedies for imbalanced classes, and the data."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from neurosearch.data.prepared import Arrays
from neurosearch.data.sampling import SamplingKind
from neurosearch.models.cnn import Cnn, CnnShape
from neurosearch.models.mlp import Mlp, MlpShape
from neurosearch.models.resnet_cifar import ResnetCifar, ResnetCifarShape
from neurosearch.training.losses import ClassLoss, CrossEntropy, Focal, Ldam, LogitAdjustment, class_balanced_weights
from neurosearch.training.settings import TrainingSettings

FOLDER = Path(os.environ.get("NEUROSEARCH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
BETA = 0.9999  # of class-balanced weights, as published


@dataclass(frozen=True)
class Case:
    """A network, its data and its recipe.

    Attributes:
        data: Name of the npz file.
        network: Builds it, from the factor of its widths and the number of classes.
        settings: How it is trained; the seed is each training's own.
        batch_size: Images of a step.
        augments: Whether images are cropped and flipped.
        gpu_hours: Estimate for one training on a GPU at 10,000 images a second; 0: a CPU will do.
    """

    data: str
    network: Callable[[float, int], nn.Module]
    settings: TrainingSettings
    batch_size: int
    augments: bool
    gpu_hours: float


def scaled(widths: Sequence[int], factor: float) -> tuple[int, ...]:
    """Returns widths times a factor, rounded as growth rounds them."""
    return tuple(width + round((factor - 1) * width) for width in widths)


def mlp(widths: tuple[int, ...]) -> Callable[[float, int], nn.Module]:
    """Returns what builds a plain network without normalisation, in which neurons may die."""
    return lambda factor, num_classes: Mlp(
        MlpShape((1, 28, 28), scaled(widths, factor), num_classes, "relu", "none", 0.0)
    )


def cnn(factor: float, num_classes: int) -> nn.Module:
    """Builds a small convolutional network."""
    return Cnn(CnnShape((3, 32, 32), scaled((8, 16, 32), factor), num_classes, 0.0))


def resnet32(factor: float, num_classes: int) -> nn.Module:
    """Builds the network of the long-tail literature; its inner widths are those that change."""
    inner = scaled((16, 32, 64), factor)
    return ResnetCifar(ResnetCifarShape((3, 32, 32), (16, 32, 64), inner, 5, num_classes))


SMALL = TrainingSettings(
    epochs=15,
    optimizer="adamw",
    learning_rate=3e-3,
    momentum=0.9,
    weight_decay=1e-4,
    schedule="cosine",
    drops=(),
    drop_factor=1.0,
    warmup_epochs=0,
    checkpoint_every_epochs=10_000,
    importance_examples=32,
    decorrelation=0.0,
    amp=False,
    channels_last=False,
    compiled=False,
    measure_latency=False,
    seed=0,
)
PUBLISHED = replace(
    SMALL,
    epochs=200,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=2e-4,
    schedule="step",
    drops=(0.8, 0.9),
    drop_factor=0.01,
    warmup_epochs=5,
    checkpoint_every_epochs=5,
    amp=True,
    channels_last=True,
)
CASES = {
    "mnist_mlp16": Case("mnist_lt", mlp((16, 16)), SMALL, 64, augments=False, gpu_hours=0.0),
    "mnist_mlp64": Case("mnist_lt", mlp((64, 64)), SMALL, 64, augments=False, gpu_hours=0.0),
    "cifar10_mini_cnn": Case("cifar10_lt_mini", cnn, replace(SMALL, epochs=30), 64, augments=False, gpu_hours=0.0),
    "cifar10_resnet32": Case("cifar10_lt", resnet32, PUBLISHED, 128, augments=True, gpu_hours=0.07),
    "cifar100_resnet32": Case("cifar100_lt", resnet32, PUBLISHED, 128, augments=True, gpu_hours=0.06),
}


@dataclass(frozen=True)
class Remedy:
    """A way to train on imbalanced classes.

    Attributes:
        loss: Builds the loss of the class counts and, for the last epochs, of class weights.
        is_reweighted_late: Whether the last fifth of the epochs has class-balanced weights.
        cosine_scale: Of a normalised classifier; 0 for a plain one.
        sampling: How often the images of each class come.
        mixup_alpha: Of mixup; 0 for none.
        is_retrained: Whether the classifier is drawn anew and trained alone for ten epochs at the end.
    """

    loss: Callable[[Sequence[int], torch.Tensor | None], ClassLoss]
    is_reweighted_late: bool = False
    cosine_scale: float = 0.0
    sampling: SamplingKind = "instance"
    mixup_alpha: float = 0.0
    is_retrained: bool = False


def entropy(_counts: Sequence[int], weights: torch.Tensor | None) -> ClassLoss:
    """Builds the plain loss."""
    return CrossEntropy("cross_entropy", weights)


REMEDIES = {
    "cross_entropy": Remedy(entropy),
    "class_balanced": Remedy(lambda counts, _: CrossEntropy("class_balanced", class_balanced_weights(counts, BETA))),
    "focal": Remedy(lambda _, weights: Focal(1.0, weights)),
    "ldam_drw": Remedy(
        lambda counts, weights: Ldam(counts, 0.5, 30.0, weights), is_reweighted_late=True, cosine_scale=30.0
    ),
    "balanced_softmax": Remedy(lambda counts, weights: LogitAdjustment("balanced_softmax", counts, 1.0, weights)),
    "class_balanced_sampling": Remedy(entropy, sampling="class_balanced"),
    "mixup": Remedy(entropy, mixup_alpha=1.0),
    "crt": Remedy(entropy, is_retrained=True),
}


@dataclass(frozen=True)
class Data:
    """A data set on a device-independent shelf: normalised by its training part."""

    train: Arrays
    test: Arrays
    num_classes: int
    black: tuple[float, ...]


@cache
def data(name: str) -> Data:
    """Reads an npz file of the folder; images become float32 (n, c, h, w), normalised channel by channel."""
    with np.load(FOLDER / f"{name}.npz") as stored:
        parts = {key: stored[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    x_train, x_test = (_channels_first(parts[key]) for key in ("x_train", "x_test"))
    mean, std = (getattr(x_train, what)(axis=(0, 2, 3), keepdims=True) for what in ("mean", "std"))
    train, test = (np.ascontiguousarray((x - mean) / std, dtype=np.float32) for x in (x_train, x_test))
    y_train, y_test = (parts[key].astype(np.int64) for key in ("y_train", "y_test"))
    black = tuple((-mean / std).flatten().tolist())
    return Data(Arrays(train, y_train), Arrays(test, y_test), int(y_train.max()) + 1, black)


def _channels_first(images: np.ndarray) -> np.ndarray:
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return images.astype(np.float32) / 255
