"""Fields of the training section."""

from typing import Annotated, Literal

from pydantic import Field

from neurosearch.config.base import Count, Fields, Index, NonNegativeFloat, Number, PositiveFloat


class TrainingFields(Fields):
    """How every trial is trained, whatever its growth policy."""

    epochs: Count = Field(description="Passes over the training part")
    batch_size: Count = Field(64, description="Examples per optimizer step")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adamw", description="Optimizer, in its fused form")
    learning_rate: PositiveFloat = Field(1e-3, description="Learning rate after warm-up, before the schedule's factor")
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = Field(
        0.9, description="Momentum of sgd; adam and adamw use it as beta_1"
    )
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty (sgd, adam) or decoupled decay (adamw)")
    schedule: Literal["constant", "cosine", "step"] = Field(
        "cosine", description="Learning-rate factor over the epochs; step: multiplied by `drop_factor` at every drop"
    )
    drops: tuple[Annotated[Number, Field(gt=0.0, lt=1.0)], ...] = Field(
        (0.8, 0.9), description="For schedule step: shares of the epochs after which the learning rate drops, ascending"
    )
    drop_factor: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        0.01, description="For schedule step: factor at each drop"
    )
    warmup_epochs: Index = Field(0, description="Epochs over which the learning rate rises linearly from near 0")
    loss: Literal["cross_entropy", "class_balanced", "balanced_softmax", "mse", "mae", "huber"] = Field(
        "cross_entropy",
        description="cross_entropy; class_balanced: weights (1-b)/(1-b^n), b = .9999 (arXiv:1901.05555); "
        "balanced_softmax: logits shifted by the log of the class shares (arXiv:2007.10740); for regression mse, mae "
        "or huber (squared up to one deviation of the target, absolute beyond)",
    )
    checkpoint_every_epochs: Count = Field(1, description="Epochs between two checkpoints of a running trial")
    importance_examples: Count = Field(
        64, description="Training examples of each class (regression: in all) that neurons are scored on"
    )
    bf16: bool = Field(False, description="On CUDA: bfloat16 autocast")
    measure_latency: bool = Field(
        False, description="Measure latency_seconds, the time of one forward pass of one example, after every epoch"
    )
    channels_last: bool = Field(False, description="On CUDA: channels-last memory format for convolutions")
