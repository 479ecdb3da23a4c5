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

from neurosearch.config import positions
from neurosearch.config.search_nodes import (
    ChoiceNode,
    Choose,
    IntNode,
    LogIntNode,
    LogUniformNode,
    Node,
    OneOfNode,
    Template,
    UniformNode,
    slots,
)

#: Draws a position from the distribution of the hyperparameter of this name.
Draw = Callable[[str, BaseDistribution], Any]


def distribution_of(node: Node) -> BaseDistribution:
    """Returns what Optuna draws from for a node."""
    match node:
        case IntNode():
            return IntDistribution(*node.ends, step=node.step)
        case UniformNode(step=None):
            return FloatDistribution(node.low, node.high)
        case LogUniformNode(steps=None):
            return FloatDistribution(node.low, node.high, log=True)
        case LogIntNode() | UniformNode() | LogUniformNode():
            num_values = len(node.values) if isinstance(node, LogIntNode) else positions.num_steps(node)
            return IntDistribution(0, num_values - 1)
        case ChoiceNode() | OneOfNode():
            return CategoricalDistribution(node.labels if isinstance(node, OneOfNode) else list(_options(node)))


def value_of(node: Node, suggested: Any) -> Any:
    """Returns the node's value for a value drawn from its distribution; it never lies outside the node's ends."""
    match node:
        case IntNode() | OneOfNode():
            return suggested
        case UniformNode(step=None) | LogUniformNode(steps=None):
            return min(max(suggested, node.low), node.high)  # exp(log(x)) may miss x by a rounding
        case LogIntNode():
            return node.values[suggested]
        case UniformNode() | LogUniformNode():
            return positions.value_at_step(node, suggested)
        case ChoiceNode():
            return _options(node)[suggested]


def position_of(node: Node, value: Any) -> Any:
    """Returns what `value_of` turns into this value; None when the node cannot draw it."""
    position = positions.position_of(node, value)
    if not isinstance(node, ChoiceNode) or position is None:
        return position
    option = node.options[position]
    return next(text for text, each in _options(node).items() if _json(each) == _json(option))


def chooser(draw: Draw, told: Callable[[str, Any], None]) -> Choose:
    """Returns a `Choose` that draws positions, and tells `told` each hyperparameter's name and value."""

    def choose(name: str, node: Node) -> Any:
        value = value_of(node, draw(name, distribution_of(node)))
        told(name, value)
        return value

    return choose


def drawn_by(trial: Trial) -> Draw:
    """Returns a `Draw` that asks an Optuna trial."""

    def draw(name: str, distribution: BaseDistribution) -> Any:
        return _suggest(trial, name, distribution)

    return draw


def position_at(distribution: BaseDistribution, share: float) -> Any:
    """Returns the position below which a share in [0, 1) of a distribution lies."""
    match distribution:
        case CategoricalDistribution():
            return distribution.choices[min(int(share * len(distribution.choices)), len(distribution.choices) - 1)]
        case IntDistribution():
            last = (distribution.high - distribution.low) // distribution.step
            return distribution.low + min(int(share * (last + 1)), last) * distribution.step
        case FloatDistribution(low=low, high=high, log=False):
            return min(low + share * (high - low), high)
        case FloatDistribution(low=low, high=high):
            return min(max(low * (high / low) ** share, low), high)
        case _:
            raise AssertionError(f"no node has the distribution {distribution}")


def share_of(distribution: IntDistribution | FloatDistribution, position: float) -> float:
    """Returns the share of a range that lies below a position, as `position_at` takes it; for a step its middle."""
    low, high = distribution.low, distribution.high
    match distribution:
        case IntDistribution():
            return ((position - low) // distribution.step + 0.5) / ((high - low) // distribution.step + 1)
        case FloatDistribution(log=True):
            return math.log(position / low) / math.log(high / low)
        case FloatDistribution():
            return (position - low) / (high - low)


def distributions(template: Template) -> dict[str, BaseDistribution]:
    """Returns the distributions of all hyperparameters, also those that only some options have."""
    return {slot.name: distribution_of(slot.node) for slot in slots(template)}


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
