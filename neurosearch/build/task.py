"""What a trial has to learn: the task that its data and its loss make, and how a network is scored on it."""

from typing import TYPE_CHECKING, cast

from neurosearch.config.trial import TrialConfig
from neurosearch.data.manifest import Manifest
from neurosearch.training.losses import LossKind, RegressionLossKind
from neurosearch.training.tasks import Classification, Regression

if TYPE_CHECKING:
    from neurosearch.training.seams import Tally, Task


def build_task(config: TrialConfig, manifest: Manifest) -> "Task":
    """Builds what is to be learned; the rules of the config have matched the loss with what the data are."""
    return _task(manifest, config.training.loss)


def build_tally(manifest: Manifest) -> "Tally":
    """Returns empty sums for scoring a network on a part of the data; no loss of a training plays a role in it."""
    return _task(manifest, "cross_entropy" if manifest.targets is None else "mse").tally()


def _task(manifest: Manifest, loss: str) -> "Task":
    if manifest.targets is None:
        return Classification(cast("LossKind", loss), manifest.train_counts, manifest.class_names)
    return Regression(cast("RegressionLossKind", loss), manifest.targets.names, manifest.targets.std)
