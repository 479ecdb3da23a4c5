"""Search nodes as Optuna's distributions, and back.

What Optuna has no distribution for is searched by position: a stepped range by the number of the step, a choice by a
text that stands for the option. `value_of` turns Optuna's value into the node's, so nobody else sees positions.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from neurosearch.config.base import Fields
from neurosearch.config.search_nodes import (
    ChoiceNode,
    Choose,
    IntNode,
    LeafNode,
    LogUniformNode,
    Node,
    OneOfNode,
    Template,
    UniformNode,
)


def distribution_of(node: Node) -> BaseDistribution:
    """Returns what Optuna draws from for a node."""
    match node:
        case IntNode():
            return IntDistribution(*node.ends, step=node.step)
        case UniformNode(step=None):
            return FloatDistribution(node.low, node.high)
        case LogUniformNode(steps=None):
            return FloatDistribution(node.low, node.high, log=True)
        case UniformNode() | LogUniformNode():
            return IntDistribution(0, _num_values(node) - 1)
        case ChoiceNode():
            return CategoricalDistribution(list(_options(node)))
        case OneOfNode():
            return CategoricalDistribution(node.labels)


def value_of(node: Node, suggested: Any) -> Any:
    """Returns the node's value for a value drawn from its distribution; it never lies outside the node's ends."""
    match node:
        case IntNode() | OneOfNode():
            return suggested
        case UniformNode(step=None) | LogUniformNode(steps=None):
            return min(max(suggested, node.low), node.high)  # exp(log(x)) may miss x by a rounding
        case UniformNode():
            assert node.step is not None
            return node.low + suggested * node.step
        case LogUniformNode():
            return _log_step(node, suggested)
        case ChoiceNode():
            return _options(node)[suggested]


def chooser(trial: Trial, told: Callable[[str, Any], None]) -> Choose:
    """Returns a `Choose` that asks an Optuna trial, and tells `told` each hyperparameter's name and value."""

    def choose(name: str, node: Node) -> Any:
        value = value_of(node, _suggest(trial, name, distribution_of(node)))
        told(name, value)
        return value

    return choose


def num_points(template: Template) -> int | None:
    """Returns how many different points the space has; None when a node is continuous."""
    return _num_points(template.sections)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step)
        case FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(name, distribution.choices)
        case _:
            raise AssertionError(f"no node has the distribution {distribution}")


def _options(node: ChoiceNode) -> dict[str, Any]:
    """Returns the options by the text that stands for each: itself if it is one, else its JSON."""
    texts = [option if isinstance(option, str) else _json(option) for option in node.options]
    if len(set(texts)) < len(texts):  # such as the options 1 and "1"
        texts = [_json(option) for option in node.options]
    return dict(zip(texts, node.options, strict=True))


def _json(option: Any) -> str:
    return json.dumps(option, sort_keys=True, ensure_ascii=False)


def _num_values(node: UniformNode | LogUniformNode) -> int:
    if isinstance(node, LogUniformNode):
        assert node.steps is not None
        return node.steps
    assert node.step is not None
    low, high = node.ends
    return round((high - low) / node.step) + 1


def _log_step(node: LogUniformNode, position: int) -> float:
    assert node.steps is not None
    if position in (0, node.steps - 1):  # exactly the ends, whatever logarithms round to
        return node.low if position == 0 else node.high
    share = position / (node.steps - 1)
    return math.exp(math.log(node.low) + share * (math.log(node.high) - math.log(node.low)))


def _num_points(value: Any) -> int | None:
    match value:
        case dict():
            return _product([_num_points(item) for item in value.values()])
        case list():
            return _product([_num_points(item) for item in value])
        case OneOfNode():
            counts = [_num_points(option) for option in value.options]
            return None if None in counts else sum(count for count in counts if count is not None)
        case Fields():
            return _num_leaf_points(value)  # type: ignore[arg-type]  # every Fields inside a template is a node
        case _:
            return 1


def _num_leaf_points(node: LeafNode) -> int | None:
    match node:
        case IntNode():
            return (node.ends[1] - node.low) // node.step + 1
        case ChoiceNode():
            return len(_options(node))
        case UniformNode(step=None) | LogUniformNode(steps=None):
            return None
        case UniformNode() | LogUniformNode():
            return _num_values(node)


def _product(counts: list[int | None]) -> int | None:
    return None if None in counts else math.prod(count for count in counts if count is not None)
