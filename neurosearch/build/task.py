"""What a trial has to learn: the task that its data and its loss make, and how a network is scored on it."""

from typing import TYPE_CHECKING

from neurosearch.build.losses import build_loss
from neurosearch.config.losses import BETA, HuberFields, MaeFields, MseFields
from neurosearch.config.remedies import UnmixedFields
from neurosearch.config.training import TrainingFields
from neurosearch.config.trial import TrialConfig
from neurosearch.data.manifest import Manifest
from neurosearch.training.losses import class_balanced_weights
from neurosearch.training.metrics import ClassificationTally
from neurosearch.training.mixing import MixedTask
from neurosearch.training.target_metrics import RegressionTally
from neurosearch.training.tasks import Classification, Regression

if TYPE_CHECKING:
    from neurosearch.training.seams import Tally, Task


def build_task(config: TrialConfig, manifest: Manifest) -> "Task":
    """Builds what is to be learned; the rules of the config have matched the loss with what the data are."""
    loss, targets = config.training.loss, manifest.targets
    if isinstance(loss, MseFields | MaeFields | HuberFields):
        assert targets is not None
        return Regression(loss.kind, targets.names, targets.std)
    task = _classification(config.training, manifest)
    return task if isinstance(config.training.mixing, UnmixedFields) else MixedTask(task)


def build_tally(manifest: Manifest) -> "Tally":
    """Returns empty sums for scoring a network on a part of the data; no loss of a training plays a role in it."""
    if manifest.targets is None:
        return ClassificationTally(manifest.train_counts, manifest.class_names, None)
    return RegressionTally(manifest.targets.names, manifest.targets.std)


def _classification(training: TrainingFields, manifest: Manifest) -> Classification:
    loss, counts = training.loss, manifest.train_counts
    assert not isinstance(loss, MseFields | MaeFields | HuberFields)
    late = None
    if training.deferred_reweighting_share > 0:
        late = build_loss(loss, counts, class_balanced_weights(counts, BETA))
    return Classification(
        build_loss(loss, counts, None),
        counts,
        manifest.class_names,
        late_loss=late,
        late_share=training.deferred_reweighting_share,
        posthoc_tau=training.posthoc_tau,
    )
