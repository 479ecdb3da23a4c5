"""What an earlier study teaches the sampler of another one, whose space may differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from neurosearch.config.base import Fields, dotted
from neurosearch.config.base import Path as Place
from neurosearch.config.load import StudyConfig
from neurosearch.config.nodes import CompositeNode
from neurosearch.config.search_nodes import Node, OneOfNode, resolve
from neurosearch.randomness import derive_seed
from neurosearch.search.errors import NoStudy, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.history import Ending, Point
from neurosearch.search.sequences import random_draw
from neurosearch.search.space import distribution_of, position_of, value_of
from neurosearch.search.stored import StoredStudy
from neurosearch.search.summaries import violation_of


@dataclass(frozen=True)
class EarlierTrial:
    """A finished trial of an earlier study, in plain values: the study that learns from it keeps them.

    Attributes:
        params: Its searched values by hyperparameter name.
        config: Its plain `TrialConfig`.
        values: Its objectives, the same as those of the study that learns from it.
        violation: By how much it is beyond that study's bounds.
    """

    params: Mapping[str, Any]
    config: Mapping[str, Any]
    values: Sequence[float]
    violation: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return asdict(self)


class _ElsewhereError(Exception):
    pass


def earlier_trials(folder: StudyFolder, config: StudyConfig) -> list[EarlierTrial]:
    """Reads the finished trials of the study that `search.warm_start` names; none where it names none.

    Args:
        folder: Where the study lies that learns from them.
        config: That study.

    Raises:
        StudyError: There is no earlier study of this name, or it has other objectives.
    """
    named = config.study.search.warm_start
    if named is None:
        return []
    where = (folder.root, folder.database) if named.folder is None else (Path(named.folder), None)
    if (where[0].resolve(), where[1], named.study) == (folder.root.resolve(), folder.database, folder.name):
        raise StudyError(f"search.warm_start names {named.study!r}, which is this study itself. Name an earlier one.")
    try:
        earlier = StoredStudy(StudyFolder(where[0], named.study, where[1]))
    except NoStudy as error:
        raise StudyError(f"search.warm_start: {error.found} Name one, or another search.warm_start.folder.") from error
    _check_same_objectives(earlier.config, config)
    return [
        EarlierTrial(trial.params, trial.config, trial.values, violation_of(trial.metrics, config.study))
        for trial in earlier.trials()
        if trial.role == "search" and trial.state in ("finished", "infeasible")
    ]


def placed(config: StudyConfig, earlier: Sequence[Mapping[str, Any]]) -> list[tuple[Point, Ending]]:
    """Returns earlier trials as points of this study's space, leaving out those of which no value lies in it.

    A value that is missing, or lies outside, is drawn at random: about it the trial says nothing.

    Args:
        config: The study.
        earlier: `EarlierTrial`s as plain values.
    """
    trials = [EarlierTrial(**each) for each in earlier]
    points = [(_point(config, trial, number), trial) for number, trial in enumerate(trials)]
    return [(point, Ending(tuple(trial.values), trial.violation)) for point, trial in points if point is not None]


def _point(config: StudyConfig, trial: EarlierTrial, number: int) -> Point | None:
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    lying_inside = 0
    draw = random_draw(derive_seed(config.study.seed, "warm_start", number))

    def choose(name: str, node: Node) -> Any:
        nonlocal lying_inside
        position = position_of(node, values.get(name))
        lying_inside += position is not None
        distributions[name] = distribution_of(node)
        params[name] = draw(name, distributions[name]) if position is None else position
        return value_of(node, params[name])

    try:
        values = {**dict(_values(config.template.sections, trial.config, (), trial)), **trial.params}
        resolve(config.template, choose)
    except _ElsewhereError:
        return None
    return Point(params, distributions) if lying_inside else None


def _values(value: Any, plain: Any, name: Place, trial: EarlierTrial) -> Iterator[tuple[str, Any]]:
    """Yields what an earlier config has at each hyperparameter of a template."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _values(item, plain.get(key) if isinstance(plain, dict) else None, (*name, key), trial)
        case list():
            for index, item in enumerate(value):
                below = plain[index] if isinstance(plain, list) and index < len(plain) else None
                yield from _values(item, below, (*name, index), trial)
        case OneOfNode():
            label = _label(value, plain, dotted(name), trial)
            yield dotted(name), label
            yield from _values(value.options[value.labels.index(label)], plain, (*name, label), trial)
        case CompositeNode():
            for leaf, chosen in (value.chosen(plain) or {}).items():
                yield dotted((*name, leaf)), chosen
        case Fields():
            yield dotted(name), plain
        case _:
            return


def _label(node: OneOfNode, plain: Any, name: str, trial: EarlierTrial) -> str:
    """Returns the option that an earlier trial belongs to: of those of its kind the one of the same name, or the first.

    Raises:
        _ElsewhereError: There is none of its kind, or none of its name where sections have no kinds.
    """
    kind = plain.get("kind") if isinstance(plain, dict) else None
    labels = [label for label, option in zip(node.labels, node.options, strict=True) if option.get("kind") == kind]
    told: str | None = trial.params.get(name)
    if told in labels:
        return told
    if kind is None or not labels:
        raise _ElsewhereError
    return labels[0]


def _check_same_objectives(earlier: StudyConfig, config: StudyConfig) -> None:
    ours, theirs = config.study.search.objectives, earlier.study.search.objectives
    if ours != theirs:
        raise StudyError(
            f"search.warm_start: the study {earlier.study.name!r} was judged by "
            f"{', '.join(objective.metric for objective in theirs)}, and this one is by "
            f"{', '.join(objective.metric for objective in ours)}: nothing can be learned from it. Name a study with "
            "the same objectives, or take search.warm_start out."
        )
