"""From a config back to the values of the hyperparameters that give it."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from neurosearch.config.base import Fields, Path, dotted
from neurosearch.config.load import StudyConfig
from neurosearch.config.nodes import ChoiceNode, CompositeNode, OneOfNode
from neurosearch.config.positions import position_of
from neurosearch.config.search_nodes import slots
from neurosearch.config.trial import TrialConfig


def values_of(study: StudyConfig, config: TrialConfig) -> dict[str, Any] | None:
    """Returns values by hyperparameter name from which the study makes this config; None when it has no such point.

    Where several points give the config, such as shares that place an event at the same epoch, it is one of them.
    """
    for found in _all(study.template.sections, config.model_dump(mode="json"), ()):
        if _is_point(found, study) and _trial(found, study) == config:
            return found
    return None


def _is_point(values: Mapping[str, Any], study: StudyConfig) -> bool:
    return all(
        slot.name in values and position_of(slot.node, values[slot.name]) is not None
        for slot in slots(study.template)
        if slot.exists(values)
    )


def _trial(values: Mapping[str, Any], study: StudyConfig) -> TrialConfig | None:
    try:
        return study.trial(lambda name, _node: values[name])
    except ValueError:
        return None


def _candidates(value: Any, plain: Any, name: Path) -> Iterator[dict[str, Any]]:
    """Yields values under which a part of the template may be a part of the config."""
    match value:
        case dict() | list():
            yield from _all(value, plain, name)
        case OneOfNode():
            for label, option in zip(value.labels, value.options, strict=True):
                for found in _candidates(option, plain, (*name, label)):
                    yield {dotted(name): label, **found}
        case CompositeNode():
            yield {dotted((*name, leaf)): each for leaf, each in (value.chosen(plain) or {}).items()}
        case ChoiceNode():
            yield from ({dotted(name): option} for option in value.options if _may_give(option, plain))
        case Fields():
            yield {dotted(name): plain}
        case _:
            if _may_give(value, plain):
                yield {}


def _may_give(value: Any, plain: Any) -> bool:
    """Tells whether a value of the file may become one of the config: as it is, or completed by defaults.

    A section may be written by its kind alone. Whether it does give the config is found out by making that.
    """
    if isinstance(value, dict) and isinstance(plain, dict):
        return all(name in plain and _may_give(each, plain[name]) for name, each in value.items())
    return bool(value == plain) or (isinstance(plain, dict) and value == plain.get("kind"))


def _all(value: Any, plain: Any, name: Path) -> Iterator[dict[str, Any]]:
    values, plains = _parts(value), _parts(plain)
    if type(value) is type(plain) and values.keys() <= plains.keys():
        for found in product(*(list(_candidates(each, plains[key], (*name, key))) for key, each in values.items())):
            yield {hyperparameter: each for part in found for hyperparameter, each in part.items()}


def _parts(value: Any) -> dict[Any, Any]:
    return dict(enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ())
