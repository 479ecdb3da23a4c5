"""What happens to the classifier after the last epoch: the layer that makes the outputs, with all before it frozen.

Both ways are those of arXiv:1910.09217: learn the features by whatever samples come, and mend the classifier alone.

Shape letters: n training examples, b examples of a step, f features, c classes.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from neurosearch.data.sampling import Sampling, SamplingKind
from neurosearch.models.head import output_layer
from neurosearch.randomness import derive_seed
from neurosearch.training.counts import PASSES_PER_STEP
from neurosearch.training.network import Forward
from neurosearch.training.optimizers import make_optimizer, set_learning_rate
from neurosearch.training.records import TrialFailed
from neurosearch.training.seams import Batches, Task
from neurosearch.training.settings import TrainingSettings


@dataclass(frozen=True)
class StageReport:
    """What a second stage has done.

    Attributes:
        epochs: Passes over the training part's features; each has as many steps as an epoch of the training.
        num_forward: Examples that went forward once through the whole network.
        multiply_adds: Spent on the classifier's own steps.
        losses: Sum of the losses of each pass.
        reason: What was done, in words, for the event.
    """

    epochs: int
    num_forward: int
    multiply_adds: float
    losses: tuple[float, ...]
    reason: str


class SecondStage(Protocol):
    """Changes the classifier of a network that is trained, and nothing else of it."""

    def apply(self, forward: Forward, head: nn.Linear, batches: Batches, settings: TrainingSettings) -> StageReport:
        """Change the classifier in place.

        Args:
            forward: The network in evaluation mode.
            head: Its last layer.
            batches: What the network was trained by.
            settings: How it was trained.
        """


class RetrainedClassifier:
    """Draws the classifier anew and trains it alone (cRT, arXiv:1910.09217, section 4.1); a `SecondStage`.

    The network before it is frozen in evaluation mode, batch-norm statistics included, so an example always has the
    same features: they are computed once, without augmentation, and a pass over them costs what one layer costs. The
    public code, which augments here too, computes them anew in every pass. Optimizer, momentum and weight decay are the
    training's; the learning rate falls to 0 by a cosine, as in the public code.
    """

    def __init__(self, epochs: int, learning_rate: float, sampling: SamplingKind, task: Task) -> None:
        """Take how long, how fast, how often each class comes, and whose loss is lowered."""
        self._epochs = epochs
        self._learning_rate = learning_rate
        self._sampling = Sampling(sampling, epochs)
        self._task = task

    def apply(self, forward: Forward, head: nn.Linear, batches: Batches, settings: TrainingSettings) -> StageReport:
        """Train a new classifier; everything drawn derives from the trial's seed."""
        seed = derive_seed(settings.seed, "classifier")
        features, labels = _features(forward, head, batches)
        draw_anew(head, seed)
        self._task.to(head.weight.device, head.weight.dtype)
        own = replace(
            settings, epochs=self._epochs, learning_rate=self._learning_rate, schedule="cosine", warmup_epochs=0
        )
        optimizer = make_optimizer(own, head.parameters(), (), {})
        labels_on_cpu, losses = labels.cpu(), []
        for epoch in range(self._epochs):
            set_learning_rate(optimizer, own, epoch)
            order = self._sampling.order(labels_on_cpu, head.out_features, epoch, derive_seed(seed, "order", epoch))
            sum_of_losses = torch.zeros((), dtype=torch.float64, device=labels.device)
            for positions in order.to(labels.device).tensor_split(batches.steps_per_epoch):
                optimizer.zero_grad()
                loss = self._task.loss(head(features[positions]), labels[positions])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                sum_of_losses += loss.detach()
            losses.append(sum_of_losses)
        multiply_adds = float(PASSES_PER_STEP * self._epochs * len(labels) * head.weight.numel())
        reason = f"the classifier was drawn anew and trained for {self._epochs} epochs, all else frozen"
        return StageReport(self._epochs, len(labels), multiply_adds, tuple(torch.stack(losses).tolist()), reason)


class TauNormalisedClassifier:
    """Divides each class's weights by their norm to the power tau and drops the biases; a `SecondStage`.

    As the public code of arXiv:1910.09217 (section 4.3, eq. 4); there tau is chosen on a validation part from 0 to 2.
    The biases stay where they are, as zeros, so the network keeps its structure.
    """

    def __init__(self, tau: float) -> None:
        """Take the power: 0 leaves the weights as they are, 1 makes all of them equally long."""
        self._tau = tau

    def apply(self, forward: Forward, head: nn.Linear, batches: Batches, settings: TrainingSettings) -> StageReport:  # noqa: ARG002  # the seam's signature
        """Normalise the classifier; nothing is trained."""
        with torch.no_grad():
            norms = head.weight.norm(dim=1, keepdim=True)  # (c, 1)
            head.weight.div_(torch.where(norms > 0, norms, 1.0) ** self._tau)
            if head.bias is not None:
                head.bias.zero_()
        return StageReport(0, 0, 0.0, (), f"the classifier was normalised with tau {self._tau:g}")


def find_head(model: nn.Module, example: Tensor, field: str = "training.classifier") -> tuple[str, nn.Linear]:
    """Return the name and the module of the linear layer whose outputs are the network's.

    Args:
        model: The network.
        example: One input, `(1, ...)`, on its device.
        field: Whose wish it is, for the message.

    Raises:
        TrialFailed: The outputs come from something else.
    """
    name = output_layer(model, example)
    head = None if name is None else model.get_submodule(name)
    if name is None or not isinstance(head, nn.Linear):
        raise TrialFailed(
            f"{field}: it needs a network whose outputs come straight from a linear layer, and those of this one do "
            f"not. Leave {field.rpartition('.')[2]} at its default, or choose another model."
        )
    return name, head


def _features(forward: Forward, head: nn.Linear, batches: Batches) -> tuple[Tensor, Tensor]:
    """Return what reaches the classifier for every training example, `(n, f)`, and the labels, `(n,)`."""
    features: list[Tensor] = []
    labels: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _head, inputs: features.append(inputs[0].to(head.weight.dtype)))
    try:
        with torch.no_grad():
            for inputs, targets in batches.train_as_is():
                forward(inputs)
                labels.append(targets)
    finally:
        handle.remove()
    return torch.cat(features), torch.cat(labels)


def draw_anew(head: nn.Linear, seed: int) -> None:
    """Draw the layer's weights as PyTorch does, on the CPU, so that they are the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = deepcopy(head).cpu()
        fresh.reset_parameters()
    head.load_state_dict(fresh.state_dict())
