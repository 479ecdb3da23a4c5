"""How a network is trained: the trainer's settings, without defaults (those live in the config)."""

from dataclasses import dataclass
from typing import Literal

OptimizerKind = Literal["sgd", "adam", "adamw"]
ScheduleKind = Literal["constant", "cosine", "step"]


@dataclass(frozen=True)
class TrainingSettings:
    """Everything the trainer must know beside the network, the data, the task and the growth policy.

    Attributes:
        epochs: Passes over the training part.
        optimizer: Kind of optimizer, always in its fused form.
        learning_rate: Learning rate after warm-up, before the schedule's factor.
        momentum: Momentum of sgd, beta_1 of adam and adamw, in [0, 1).
        weight_decay: L2 penalty (sgd, adam) or decoupled decay (adamw).
        schedule: Learning-rate factor over the epochs.
        drops: For schedule `step`: shares of the epochs after which the learning rate drops, ascending.
        drop_factor: For schedule `step`: factor at each drop.
        warmup_epochs: Epochs over which the learning rate rises linearly to its full value.
        checkpoint_every_epochs: Epochs between two checkpoints; the last epoch always has one.
        importance_examples: Training examples per class that neurons are scored on.
        decorrelation: Coefficient of the correlation of the most alike neurons in the loss; 0: none.
        amp: Whether forward passes run under bfloat16 autocast.
        channels_last: Whether image tensors lie in channels-last order.
        compiled: Whether the forward pass of a step is compiled, anew after every change of the network.
        measure_latency: Whether every record holds the time of one forward pass of one example.
        seed: The trial's seed; data order, dropout and growth derive from it.
    """

    epochs: int
    optimizer: OptimizerKind
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: ScheduleKind
    drops: tuple[float, ...]
    drop_factor: float
    warmup_epochs: int
    checkpoint_every_epochs: int
    importance_examples: int
    decorrelation: float
    amp: bool
    channels_last: bool
    compiled: bool
    measure_latency: bool
    seed: int

    def is_checkpointed(self, epoch: int) -> bool:
        """Say whether the state after so many whole epochs is kept."""
        return epoch % self.checkpoint_every_epochs == 0 or epoch == self.epochs
