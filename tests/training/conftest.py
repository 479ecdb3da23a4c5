from dataclasses import replace

import numpy as np
import pytest
import torch

from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import (
    MaskPolicy,
    MaskSettings,
    NimblePolicy,
    NimbleSettings,
    PeriodicPolicy,
    PeriodicSettings,
    RecyclePolicy,
    RecycleSettings,
    StaticPolicy,
    WideThenPrunePolicy,
    WideThenPruneSettings,
)
from neurosearch.models import Cnn, CnnShape, Mlp, MlpShape
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy, LogitAdjustment, class_balanced_weights
from neurosearch.training.mixing import MixedBatches, MixedTask
from neurosearch.training.settings import TrainingSettings
from neurosearch.training.tasks import Classification, Regression
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")
NUM_CLASSES = 3
PACK_COUNTS = (25, 10, 6)
CLASS_NAMES = ["a", "b", "c"]
SETTINGS = TrainingSettings(
    epochs=6,
    optimizer="adamw",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.01,
    schedule="cosine",
    drops=(0.8,),
    drop_factor=0.1,
    warmup_epochs=1,
    checkpoint_every_epochs=1,
    importance_examples=4,
    decorrelation=0.0,
    amp=False,
    channels_last=False,
    compiled=False,
    measure_latency=False,
    seed=7,
)
PERIODIC = PeriodicSettings(
    period_epochs=2,
    grown_epochs=1,
    grow_share=0.5,
    groups="all",
    stop_share=0.7,
    start="zero_outgoing",
    importance="class_balanced_taylor",
    protected_share=0.25,
    copy_noise=0.1,
    explained_share=0.0,
    merge_threshold=0.0,
)
RECYCLE = RecycleSettings(
    period_epochs=1,
    measure="activation",
    threshold=0.9,
    largest_share=0.3,
    stop_share=0.7,
    start="zero_outgoing",
    copy_noise=0.1,
)
WIDE = WideThenPruneSettings(
    grow_share=0.5, prune_share=0.5, importance="class_balanced_taylor", protected_share=0.25, merge_threshold=0.0
)
NIMBLE = NimbleSettings(
    size_coefficient=1.0,
    target_share=0.4,
    start_share=0.8,
    maximum_share=1.5,
    gate_width=1.0,
    size_unit="share",
    size_input=True,
    column_scale=0.2,
    sharing="each",
    learning_rate=0.05,
    check_steps=2,
)
MASK = MaskSettings(
    size_coefficient=1.0, start=0.0, size_input=True, column_scale=0.2, sharing="all", learning_rate=0.05
)

LOSSES = {
    "cross_entropy": lambda _counts: CrossEntropy("cross_entropy", None),
    "class_balanced": lambda counts: CrossEntropy("class_balanced", class_balanced_weights(counts, 0.9999)),
    "balanced_softmax": lambda counts: LogitAdjustment("balanced_softmax", counts, 1.0, None),
}


def make_policy(kind, **changes):
    match kind:
        case "static":
            return StaticPolicy()
        case "periodic":
            return PeriodicPolicy(replace(PERIODIC, **changes))
        case "recycle":
            return RecyclePolicy(replace(RECYCLE, **changes))
        case "wide_then_prune":
            return WideThenPrunePolicy(replace(WIDE, **changes))
        case "nimble":
            return NimblePolicy(replace(NIMBLE, **changes))
        case "mask":
            return MaskPolicy(replace(MASK, **changes))


def blobs(shape, counts, seed):
    """Gaussian clouds, one per class, that a small network can tell apart."""
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(NUM_CLASSES, *shape))
    labels = np.repeat(np.arange(NUM_CLASSES), counts)
    brightness = labels.reshape(-1, *(1 for _ in shape)) - 1.0
    x = centers[labels] + brightness + 0.5 * generator.normal(size=(len(labels), *shape))
    return Arrays(x.astype(np.float32), labels.astype(np.int64))


def make_model(kind, dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if kind == "mlp":
            return Mlp(MlpShape((1, 4, 4), (8, 6), NUM_CLASSES, "relu", "batch", dropout))
        return Cnn(CnnShape((1, 4, 4), (4, 6), NUM_CLASSES, dropout))


def make_batches(device, batch_size=10, seed=7):
    train, validation = blobs((1, 4, 4), (25, 10, 6), 1), blobs((1, 4, 4), (9, 9, 9), 2)
    return ArrayBatches(train, validation, batch_size, seed, device, NUM_CLASSES)


def build(
    policy="static",
    model="mlp",
    store=None,
    loss="cross_entropy",
    *,
    dropout=0.0,
    growth=None,
    task=None,
    device=CPU,
    second_stage=None,
    zapping=None,
    mixing=None,
    **changes,
):
    """A trainer on a tiny problem; `changes` go into the training settings, `growth` and `task` where they say.

    A model is a kind, or what makes one; a policy as well.
    """
    batches = make_batches(device)
    counts = batches.class_counts
    learned = Classification(LOSSES[loss](counts), counts, ["a", "b", "c"], **(task or {}))
    if mixing is not None:
        batches, learned = MixedBatches(batches, mixing, SETTINGS.seed, device), MixedTask(learned)
    return Trainer(
        settings=replace(SETTINGS, **changes),
        model=make_model(model, dropout) if isinstance(model, str) else model(),
        batches=batches,
        task=learned,
        policy=make_policy(policy, **(growth or {})) if isinstance(policy, str) else policy(),
        checkpoints=MemoryCheckpointStore() if store is None else store,
        device=device,
        example_inputs=(torch.zeros(2, 1, 4, 4),),
        second_stage=second_stage,
        zapping=zapping,
    )


@pytest.fixture(scope="session")
def build_trainer():
    return build


@pytest.fixture(scope="session")
def make_loss():
    """Makes a loss from its kind and the counts of the classes."""
    return lambda kind, class_counts: LOSSES[kind](class_counts)


@pytest.fixture(scope="session")
def training_settings():
    return SETTINGS


@pytest.fixture(scope="session", name="make_batches")
def batches_maker():
    return make_batches


@pytest.fixture(scope="session")
def growth_settings():
    """Settings of a periodic and of a nimble policy."""
    return PERIODIC, NIMBLE


@pytest.fixture(scope="session")
def build_member():
    """Makes trainings of a tiny problem; each seed has data order, weights and dropout of its own."""
    policies = {
        "static": StaticPolicy,
        "periodic": lambda: PeriodicPolicy(PERIODIC),
        "nimble": lambda: NimblePolicy(replace(NIMBLE, maximum_share=1.5)),
        "growing": lambda: NimblePolicy(replace(NIMBLE, start_share=0.1, target_share=1.4, learning_rate=0.1)),
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
        device=CPU,
        **changes,
    ):
        train, validation = (clouds(dtype, counts, number) for counts, number in ((PACK_COUNTS, 1), ((9, 9, 9), 2)))
        learned = Classification(CrossEntropy("cross_entropy", None), PACK_COUNTS, CLASS_NAMES)
        num_classes, num_outputs = 3, 3
        match task:
            case "adjusted":
                loss = LogitAdjustment("balanced_softmax", PACK_COUNTS, 1.0, None)
                learned = Classification(
                    CrossEntropy("cross_entropy", None), PACK_COUNTS, CLASS_NAMES, late_loss=loss, late_share=0.5
                )
            case "quantities":
                learned, num_classes, num_outputs = Regression("huber", ["y", "z"], [1.0, 2.0]), 0, 2
                train, validation = (Arrays(each.x, each.x[:, 0, :2, 0].copy()) for each in (train, validation))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Mlp(MlpShape((1, 4, 4), widths, num_outputs, activation, norm, dropout)).to(dtype)
        return Trainer(
            settings=replace(SETTINGS, seed=seed, **changes),
            model=model,
            batches=ArrayBatches(train, validation, batch_size, seed, device, num_classes),
            task=learned,
            policy=policies[policy](),
            checkpoints=MemoryCheckpointStore() if store is None else store,
            device=device,
            example_inputs=(torch.zeros(2, 1, 4, 4, dtype=dtype),),
        )

    return make


def clouds(dtype, counts, seed):
    """Gaussian clouds in any precision."""
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    labels = np.repeat(np.arange(3), counts)
    x = centers[labels] + 0.5 * generator.normal(size=(len(labels), 1, 4, 4))
    return Arrays(x.astype(np.float64 if dtype == torch.float64 else np.float32), labels.astype(np.int64))
