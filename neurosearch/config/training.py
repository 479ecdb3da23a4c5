"""Fields of the training section."""

from typing import Annotated, Literal

from pydantic import Field

from neurosearch.config.base import Count, Fields, Index, NonNegativeFloat, Number, PositiveFloat, Share
from neurosearch.config.losses import CrossEntropyFields, Loss
from neurosearch.config.remedies import (
    Augmentation,
    Classifier,
    JointFields,
    Mixing,
    Sampling,
    UnaugmentedFields,
    UnmixedFields,
)


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
    loss: Loss = Field(
        CrossEntropyFields(),
        description="What is minimised: a section such as {kind: focal, gamma: 1.0}, or a kind alone for its defaults",
    )
    deferred_reweighting_share: Share = Field(
        0.0,
        description="Share of the epochs, at the end, in which the loss weights classes by their effective number "
        "(beta .9999); 0: never; LDAM-DRW is ldam with 0.2 (arXiv:1906.07413)",
    )
    posthoc_tau: Annotated[Number, Field(ge=0.0, le=10.0)] = Field(
        0.0,
        description="Scores and the exported network use logits minus posthoc_tau times the log of the class shares; "
        "0: as they are (post-hoc logit adjustment, arXiv:2007.07314)",
    )
    sampling: Sampling = Field(
        "instance",
        description="How often the examples of each class come, n^q of them with replacement (arXiv:1910.09217): "
        "instance, every example once; square_root, q = 1/2; class_balanced, q = 0; progressive, from instance to "
        "class_balanced over the epochs; with posthoc_tau or a loss that adjusts logits by the class shares: instance",
    )
    mixing: Mixing = Field(
        UnmixedFields(), description="How examples are mixed with others: none, or {kind: mixup} or {kind: remix}"
    )
    augmentation: Augmentation = Field(
        UnaugmentedFields(),
        description="How images are changed before they are trained on, anew in every epoch: none or {kind: crop_flip}",
    )
    classifier: Classifier = Field(
        JointFields(),
        description="What becomes of the last layer after the last epoch: joint, nothing; {kind: retrained}, cRT; "
        "{kind: tau_normalised}",
    )
    zap_period_epochs: Index = Field(
        0, description="Epochs from one time that the class head is drawn anew to the next; 0: never (arXiv:2507.01559)"
    )
    zap_stop_share: Share = Field(0.5, description="Share of the epochs after which the class head stays")
    decorrelation: NonNegativeFloat = Field(
        0.0,
        description="Coefficient in the loss of the mean |correlation| between the most alike neurons of each group, "
        "along a minimum spanning tree of 1 - |correlation|; on a CPU wide layers make steps several times as long; 0: "
        "none (arXiv:2308.04870, our reading)",
    )
    checkpoint_every_epochs: Count = Field(1, description="Epochs between two checkpoints of a running trial")
    importance_examples: Count = Field(
        64, description="Training examples of each class (regression: in all) that neurons are scored on"
    )
    bf16: bool = Field(
        False,
        description="bfloat16 autocast, for GPUs and for CPUs that multiply in it (amx_bf16 or avx512_bf16 among the "
        "flags that Linux tells); other CPUs are slower with it",
    )
    measure_latency: bool = Field(
        False, description="Measure latency_seconds, the time of one forward pass of one example, after every epoch"
    )
    compile: bool = Field(
        False,
        description="Compile steps; needs a C++ compiler. Of a trial alone the forward and backward pass, anew after "
        "every change of the network: worth it on CUDA, where a structure is trained for epochs; not done for nimble, "
        "whose sizes move all the time. Of a pack of tiny perceptrons on the CPU the whole step, once for all sizes: "
        "see `search.packing`",
    )
    channels_last: bool = Field(
        False, description="Channels-last memory format for convolutions; it goes well with bf16, and helps CPUs, too"
    )
