"""Where in a node a value stands: which values a node has, and how to name one without knowing how it is drawn."""

import json
import math
from typing import Any

from neurosearch.config.search_nodes import (
    ChoiceNode,
    IntNode,
    LogIntNode,
    LogUniformNode,
    Node,
    OneOfNode,
    UniformNode,
)

_ROUNDING = 1e-6  # share of a step by which a value written by hand may miss it: 0.1 + 2 * 0.1 is not 0.3


def num_steps(node: UniformNode | LogUniformNode) -> int:
    """Returns how many values a stepped range has."""
    if isinstance(node, LogUniformNode):
        assert node.steps is not None
        return node.steps
    assert node.step is not None
    low, high = node.ends
    return round((high - low) / node.step) + 1


def value_at_step(node: UniformNode | LogUniformNode, step: int) -> float:
    """Returns a value of a stepped range, counted from 0 at its low end."""
    if isinstance(node, UniformNode):
        return node.at(step)
    last = num_steps(node) - 1
    if step in (0, last):  # exactly the ends, whatever logarithms round to
        return node.low if step == 0 else node.high
    return math.exp(math.log(node.low) + step / last * (math.log(node.high) - math.log(node.low)))


def position_of(node: Node, value: Any) -> Any:
    """Returns where in its node a value stands; None when the node cannot draw it.

    Returns:
        The value itself for a whole number or a continuous range, the number of the step of a stepped range, the number
        of the option of a choice, the label of a `one_of`.
    """
    match node:
        case OneOfNode():
            return value if value in node.labels else None
        case ChoiceNode():
            texts = [_text(option) for option in node.options]
            return texts.index(_text(value)) if _text(value) in texts else None
        case _ if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        case IntNode():
            low, high = node.ends
            return int(value) if low <= value <= high and (value - low) % node.step == 0 else None
        case UniformNode(step=None) | LogUniformNode(steps=None):
            return float(value) if node.low <= value <= node.high else None
        case UniformNode() | LogUniformNode() | LogIntNode():
            return _step_of(node, value)


def described(node: Node) -> str:
    """Says which values a node has, as in `0.1 to 0.5`."""
    match node:
        case OneOfNode():
            return ", ".join(node.labels)
        case ChoiceNode():
            return ", ".join(_text(option) for option in node.options)
        case _:
            low, high = node.ends
            stepped = num_values(node) is not None and not (isinstance(node, IntNode) and node.step == 1)
            return f"{low:g} to {high:g}" + (f" in {num_values(node)} steps" if stepped else "")


def num_values(node: Node) -> int | None:
    """Returns how many different values a node has, its options' own nodes left aside; None if it is continuous."""
    match node:
        case OneOfNode():
            return len(node.labels)
        case ChoiceNode():
            return len({_text(option) for option in node.options})
        case IntNode():
            return (node.ends[1] - node.low) // node.step + 1
        case LogIntNode():
            return len(node.values)
        case UniformNode(step=None) | LogUniformNode(steps=None):
            return None
        case UniformNode() | LogUniformNode():
            return num_steps(node)


def _step_of(node: UniformNode | LogUniformNode | LogIntNode, value: float) -> int | None:
    if isinstance(node, LogIntNode):
        return node.values.index(int(value)) if value in node.values else None
    width = node.high - node.low
    if not node.low - width <= value <= node.high + width:  # no number, or one that is no float any more
        return None
    if isinstance(node, UniformNode):
        assert node.step is not None
        steps = (value - node.low) / node.step
    else:
        share = math.log(value / node.low) / math.log(node.high / node.low) if value > 0 else -1.0
        steps = share * (num_steps(node) - 1)
    nearest = round(steps)
    return nearest if 0 <= nearest < num_steps(node) and abs(steps - nearest) <= _ROUNDING else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
