"""Search nodes: values of the config that the search chooses, and the templates that hold them.

A node stands in the YAML where a value would: `learning_rate: {search: log_uniform, low: 1e-4, high: 1e-1}`. Nodes are
taken out of the raw mapping before anything else reads it; `resolve` puts chosen values in their places. The same
walk serves the sampler (which draws values) and the check of every end and option (`corners`, which enumerates them).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from neurosearch.config.base import Fields, Path, Problem, dotted, nearest, undotted
from neurosearch.config.kinds import ConflictError
from neurosearch.config.messages import message
from neurosearch.config.nodes import (
    ONE,
    RANGE,
    ChoiceNode,
    CompositeNode,
    IntNode,
    LeafNode,
    LogIntNode,
    LogUniformNode,
    OneOfNode,
    UniformNode,
)
from neurosearch.config.schedule_node import ScheduleNode
from neurosearch.config.widths_node import WidthsNode
from neurosearch.config.yaml_source import Source

__all__ = [
    "NODE_CLASSES",
    "SEARCHED_SECTIONS",
    "ChoiceNode",
    "Choose",
    "Extremes",
    "IntNode",
    "LeafNode",
    "LogIntNode",
    "LogUniformNode",
    "Node",
    "OneOfNode",
    "Resolved",
    "Slot",
    "Template",
    "UniformNode",
    "composites",
    "extremes",
    "make_template",
    "resolve",
    "slots",
]

SEARCHED_SECTIONS = ("data", "model", "training", "growth")


#: What is chosen: a hyperparameter's value, or the label of an option.
Node = LeafNode | OneOfNode
#: Every kind of node by the word after `search:`.
NODE_CLASSES: Mapping[str, type[Fields]] = {
    "int": IntNode,
    "uniform": UniformNode,
    "log_uniform": LogUniformNode,
    "log_int": LogIntNode,
    "choice": ChoiceNode,
    "one_of": OneOfNode,
    "widths": WidthsNode,
    "schedule": ScheduleNode,
}
_NODES: TypeAdapter[Node | CompositeNode] = TypeAdapter(
    Annotated[LeafNode | OneOfNode | WidthsNode | ScheduleNode, Field(discriminator="search")]
)

#: A node, its name, and the options that must be chosen for it to be reached.
_Found = tuple[Path, Node | CompositeNode, Mapping[str, tuple[Any, ...]]]
#: Chooses a leaf's value or an option's label, given the hyperparameter's name and its node.
Choose = Callable[[str, Node], Any]


@dataclass(frozen=True)
class Template:
    """The searched sections with nodes in the places of values.

    Attributes:
        sections: Nested dicts and lists whose leaves are plain values or nodes.
        source: Where everything stands.
    """

    sections: dict[str, Any]
    source: Source

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all hyperparameters, in the order of the file."""
        return tuple(slot.name for slot in slots(self))


@dataclass(frozen=True)
class Resolved:
    """A template with values put in.

    Attributes:
        sections: Plain values.
        origins: For each path of `sections`, where in the file its value or the node that was asked for it stands.
        ends: For each path whose value is an end or option of a node, where exactly that stands.
        composites: The composite node at each path whose value comes from one.
    """

    sections: dict[str, Any]
    origins: Mapping[Path, Path]
    ends: Mapping[Path, Path]
    composites: Mapping[Path, CompositeNode]


@dataclass(frozen=True)
class Conditional:
    """What exists only for certain values of hyperparameters that are chosen before it.

    Attributes:
        requires: Those hyperparameters by name, with the values of each for which this exists.
    """

    requires: Mapping[str, tuple[Any, ...]]

    def exists(self, chosen: Mapping[str, Any]) -> bool:
        """Returns whether it is to be chosen, after the hyperparameters before it were."""
        return all(name in chosen and chosen[name] in values for name, values in self.requires.items())


@dataclass(frozen=True)
class Slot(Conditional):
    """A hyperparameter.

    Attributes:
        name: By which it is chosen and told.
        node: What it may be.
        stepped_by: The key that gives a continuous range steps, such as `training.momentum.step`.
    """

    name: str
    node: Node
    stepped_by: str


@dataclass(frozen=True)
class Extremes(Conditional):
    """A node of the file at its ends.

    Attributes:
        choices: Its hyperparameters by name, at every end or option, or where a composite's value is most extreme.
    """

    choices: tuple[Mapping[str, Any], ...]


def make_template(source: Source) -> tuple[Template, tuple[Problem, ...]]:
    """Takes the nodes out of a source's searched sections; a wrong node is a problem, not an exception."""
    problems: list[Problem] = []
    sections = {
        name: _parsed(source.values[name], (name,), source, problems)
        for name in SEARCHED_SECTIONS
        if name in source.values
    }
    return Template(sections, source), tuple(problems)


def resolve(template: Template, choose: Choose) -> Resolved:
    """Puts a value in the place of every node reached, asking `choose` for each in the order of the file."""
    walk = _Resolution(choose)
    sections = {name: walk.value(value, (name,), (name,), (name,)) for name, value in template.sections.items()}
    return Resolved(sections, walk.origins, walk.ends, walk.composites)


def slots(template: Template) -> Iterator[Slot]:
    """Yields every hyperparameter of the template, also those that only some options have."""
    for name, node, requires in _nodes(template):
        if isinstance(node, CompositeNode):
            for leaf in node.leaves:
                inner = {dotted((*name, other)): values for other, values in leaf.requires.items()}
                key = dotted((*name, leaf.stepped_by))
                yield Slot({**requires, **inner}, dotted((*name, leaf.name)), leaf.node, key)
        else:
            key = "steps" if isinstance(node, LogUniformNode) else "step"
            yield Slot(requires, dotted(name), node, dotted((*name, key)))


def composites(template: Template) -> dict[str, CompositeNode]:
    """Returns the nodes that make one value of several hyperparameters, by name."""
    return {dotted(name): node for name, node, _ in _nodes(template) if isinstance(node, CompositeNode)}


def extremes(template: Template) -> Iterator[Extremes]:
    """Yields every node of the file, also those that only some options have."""
    for name, node, requires in _nodes(template):
        if isinstance(node, CompositeNode):
            choices = tuple({dotted((*name, leaf)): value for leaf, value in each.items()} for each in node.extremes)
        else:
            ends = node.labels if isinstance(node, OneOfNode) else node.ends
            choices = tuple({dotted(name): end} for end in ends)
        yield Extremes(requires, choices)


def _parsed(value: Any, path: Path, source: Source, problems: list[Problem]) -> Any:
    if isinstance(value, list):
        return [_parsed(item, (*path, index), source, problems) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "search" not in value:
        return {key: _parsed(item, (*path, key), source, problems) for key, item in value.items()}
    try:
        node = _NODES.validate_python(value)
    except ValidationError as error:
        problems.extend(_node_problems(error, value, path, source))
        return None
    if isinstance(node, OneOfNode):
        problems.extend(_option_problems(node, path, source))
        options = tuple(
            _parsed(option, (*path, "options", index), source, problems) for index, option in enumerate(node.options)
        )
        return node.model_copy(update={"options": options})  # nodes inside options are values already validated
    return node


def _node_problems(error: ValidationError, value: Mapping[str, Any], path: Path, source: Source) -> Iterator[Problem]:
    for each in error.errors():
        if each["type"].startswith("union_tag"):
            hint = nearest(value.get("search"), NODE_CLASSES)
            text = f"unknown kind of search node.{hint} Write search: {', '.join(NODE_CLASSES)}."
            yield Problem(source.place((*path, "search")), dotted((*path, "search")), text)
            continue
        tag, *below = [part for part in each["loc"] if part not in (ONE, RANGE)]
        cause = each.get("ctx", {}).get("error")
        if isinstance(cause, ConflictError):
            for conflict in cause.conflicts:
                inners = [(*path, *undotted(field)) for field in conflict.fields]
                yield Problem(source.place(inners[0]), " and ".join(map(dotted, inners)), conflict.text)
            continue
        inner = (*path, *below)
        yield Problem(source.place(inner), dotted(inner), message(each, tuple(below), NODE_CLASSES[str(tag)]))


def _option_problems(node: OneOfNode, path: Path, source: Source) -> Iterator[Problem]:
    for index, option in enumerate(node.options):
        if not isinstance(option, dict):
            inner = (*path, "options", index)
            text = "is no section such as {kind: static}. Write one, or search: choice where plain values are meant."
            yield Problem(source.place(inner), dotted(inner), text)


class _Resolution:
    """One walk over a template that chooses a value for every node it reaches."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.origins: dict[Path, Path] = {}
        self.ends: dict[Path, Path] = {}
        self.composites: dict[Path, CompositeNode] = {}

    def value(self, value: Any, name: Path, origin: Path, path: Path) -> Any:
        """Resolves one value.

        Args:
            value: A plain value, or a node.
            name: Its hyperparameter's name.
            origin: Its place in the file.
            path: Its place in the result.
        """
        self.origins[path] = origin
        if isinstance(value, dict):
            return {key: self.value(item, (*name, key), (*origin, key), (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [
                self.value(item, (*name, index), (*origin, index), (*path, index)) for index, item in enumerate(value)
            ]
        if isinstance(value, OneOfNode):
            label = self._choose(dotted(name), value)
            index = value.labels.index(label)
            return self.value(value.options[index], (*name, label), (*origin, "options", index), path)
        if isinstance(value, CompositeNode):
            return self._composite(value, name, origin, path)
        return self._leaf(value, name, origin, path) if isinstance(value, Fields) else value

    def _composite(self, node: CompositeNode, name: Path, origin: Path, path: Path) -> Any:
        chosen: dict[str, Any] = {}
        for leaf in node.leaves:
            if leaf.exists(chosen):
                chosen[leaf.name] = self._choose(dotted((*name, leaf.name)), leaf.node)
        value = node.value(chosen)
        self.composites[path] = node
        for below, part in _parts(value):
            place = node.place_of(below, part)
            self.ends[(*path, *below)] = (*origin, *place)
            self.origins[(*path, *below)] = (*origin, *place[:1]) if below else origin
        return value

    def _leaf(self, node: Any, name: Path, origin: Path, path: Path) -> Any:
        chosen = self._choose(dotted(name), node)
        self.ends[path] = (*origin, *node.place_of(chosen))
        return chosen


def _parts(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yields a plain value and everything inside it, with its path."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _parts(item, (*path, key))


def _nodes(template: Template) -> Iterator[_Found]:
    for section, value in template.sections.items():
        yield from _nodes_in(value, (section,), {})


def _nodes_in(value: Any, name: Path, requires: Mapping[str, tuple[Any, ...]]) -> Iterator[_Found]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _nodes_in(item, (*name, key), requires)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nodes_in(item, (*name, index), requires)
    elif isinstance(value, OneOfNode):
        yield name, value, requires
        for label, option in zip(value.labels, value.options, strict=True):
            yield from _nodes_in(option, (*name, label), {**requires, dotted(name): (label,)})
    elif isinstance(value, Fields):
        yield name, value, requires  # type: ignore[misc]  # every Fields inside a template is a node
