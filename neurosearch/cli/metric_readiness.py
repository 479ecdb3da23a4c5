"""Does the data have the classes that trials are judged by? A trial without its metric would train in vain."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurosearch import names
from neurosearch.config.base import Path, Problem, dotted
from neurosearch.config.load import StudyConfig
from neurosearch.config.trial import TrialConfig

if TYPE_CHECKING:
    from neurosearch.data.arrays import RawArrays


def metric_problems(study: StudyConfig, config: TrialConfig, raw: "RawArrays") -> Iterator[Problem]:
    """Yields each recall of a group of classes that trials are judged by, where the group is empty.

    Args:
        study: The study.
        config: One of its trials, whose data it is.
        raw: The data, which nothing is wrong with.
    """
    wanted = {metric: path for path, metric in _judged_by(study) if metric in names.GROUP_RECALLS}
    if not wanted or raw.target_names:
        return
    from neurosearch.build.trial import prepare_settings
    from neurosearch.data.problems import listed
    from neurosearch.data.selection import train_counts
    from neurosearch.training.metrics import class_groups

    counts = train_counts(prepare_settings(config.data), raw)
    groups = class_groups(counts)
    there = [name for name, members in groups.items() if members]
    named = listed([f"{name} ({count:,})" for name, count in zip(raw.class_names, counts, strict=True)])
    for metric, path in wanted.items():
        if not groups[metric]:
            text = (
                f"{metric} is the mean recall of {names.GROUP_RECALLS[metric]}, of which there are none, so no trial "
                f"could be judged. The classes with so many training examples, validation held out: {named}. Take one "
                f"of {', '.join(there)}, or {names.BALANCED_ACCURACY}."
            )
            yield Problem(study.template.source.place(path), dotted(path), text)


def _judged_by(study: StudyConfig) -> Iterator[tuple[Path, str]]:
    search = study.study.search
    judged_by = {
        "objectives": [each.metric for each in search.objectives],
        "constraints": [each.metric for each in search.constraints],
    }
    for section, metrics in judged_by.items():
        for index, metric in enumerate(metrics):
            yield ("search", section, index, "metric"), metric
