"""A training cut down to a few steps of each epoch, to see that everything works before hours are spent on it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurosearch import names
from neurosearch.config.kinds import kinds
from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.search import Objective
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import StudyFolder
from neurosearch.search.representatives import end_configs, growth_factor
from neurosearch.search.trial import BuiltTraining

_STEPS = 2  # of an epoch
_IMPORTANCE_EXAMPLES = 4  # of each class


class FewTraining(BuiltTraining):
    """The trainer of the build room on a few steps of each epoch; checkpoints and final network are whole."""

    def __init__(self, config: TrialConfig, study: StudyFolder, folder: Path, device: str) -> None:
        """Makes the trainer. For the arguments, see `search.trial.OpenTraining`."""
        import torch

        from neurosearch.build.trial import build_batches, build_trainer
        from neurosearch.training.few_batches import FewBatches

        data, where = opened_data(config, study), torch.device(device)
        few = FewBatches(build_batches(config, data, where), _STEPS, where)
        self._folder = folder
        self._writes = True
        self._trainer = build_trainer(config, data, folder, where, batches=few)


def tiny_study(study: StudyConfig, root: Path) -> StudyConfig:
    """Returns a study of one trial at one end of the space, with as few epochs as its growth schedule allows.

    Of the ends, one is taken whose network grows, if there is any, and of those the one with the shortest schedule.
    Its storage is a journal below `root` and its MLflow a file there, whatever the study says.
    """
    trial = min((_shortened(each) for each in end_configs(study)), key=_order)
    search = study.study.search
    gpus = 1.0 if search.gpus_per_trial == "auto" else min(1.0, search.gpus_per_trial)
    values: dict[str, Any] = {
        **trial.model_dump(mode="json"),
        "name": study.study.name,
        "search": {
            "trials": 1,
            "cpus_per_trial": search.cpus_per_trial,
            "gpus_per_trial": gpus,
            "objectives": _told_by_few(search.objectives),
            "control": False,
            "finalists": 0,
        },
        "tracking": {"enabled": study.study.tracking.enabled},
        "storage": {"folder": str(root)},
    }
    return study_from_mapping(values, study.template.source.name)


def _told_by_few(objectives: Iterable[Objective]) -> list[dict[str, str]]:
    """Returns the objectives, but for recalls of groups of classes: the few examples scored may have none of them.

    Data often lies class by class, and then the first batch of the validation part holds the first classes alone.
    """
    metrics = [names.BALANCED_ACCURACY if each.metric in names.GROUP_RECALLS else each.metric for each in objectives]
    return [{"metric": metric, "direction": names.OBJECTIVES[metric]} for metric in dict.fromkeys(metrics)]


def _shortened(config: TrialConfig) -> TrialConfig:
    values = config.model_dump(mode="json")
    small = {"checkpoint_every_epochs": 1, "importance_examples": _IMPORTANCE_EXAMPLES}
    for epochs in range(2, config.training.epochs):
        try:
            return TrialConfig.model_validate({**values, "training": {**values["training"], **small, "epochs": epochs}})
        except ValueError:  # the growth schedule does not fit into so few
            continue
    return TrialConfig.model_validate({**values, "training": {**values["training"], **small}})


def _order(config: TrialConfig) -> tuple[bool, bool, int]:
    """Returns what is best to try first: what grows by a schedule, what may change its size, and few epochs."""
    never = kinds("growth")[kind_of(config.growth)].peak is None
    return growth_factor(config) <= 1.0, never, config.training.epochs
