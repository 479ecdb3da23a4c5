"""Search nodes: values of the config that the search chooses, and the templates that hold them.

A node stands in the YAML where a value would: `learning_rate: {search: log_uniform, low: 1e-4, high: 1e-1}`. Nodes are
taken out of the raw mapping before anything else reads it; `resolve` puts chosen values in their places. The same
walk serves the sampler (which draws values) and the check of every end and option (`corners`, which enumerates them).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.config.base import Count, Fields, Number, Path, Problem, dotted
from neurosearch.config.messages import message
from neurosearch.config.yaml_source import Source

SEARCHED_SECTIONS = ("data", "model", "training", "growth")


class _Range(Fields):
    @model_validator(mode="after")
    def _is_not_reversed(self) -> Self:
        low, high = getattr(self, "low"), getattr(self, "high")  # noqa: B009  # fields of the subclasses
        if low >= high:
            raise PydanticCustomError(
                "reversed",
                "low is {low} and high is {high}; low must be smaller. Exchange them, or write the one value",
                {"low": low, "high": high},
            )
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        raise NotImplementedError

    def place_of(self, value: object) -> Path:
        """Returns where below the node a value stands: at an end, or nowhere."""
        lowest, highest = self.ends
        return ("low",) if value == lowest else ("high",) if value == highest else ()


class IntNode(_Range):
    """A whole number."""

    search: Literal["int"]
    low: Annotated[int, Field(strict=True)]
    high: Annotated[int, Field(strict=True)]
    step: Count = 1

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value that the steps reach."""
        return (self.low, self.low + (self.high - self.low) // self.step * self.step)


class UniformNode(_Range):
    """A number, evenly likely between two ends."""

    search: Literal["uniform"]
    low: Number
    high: Number
    step: Annotated[Number, Field(gt=0.0)] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value that the steps reach."""
        if self.step is None:
            return (self.low, self.high)
        # 1e-9: (0.7 - 0.1) / 0.2 is 2.999..., and its last step must not be lost
        return (self.low, self.low + math.floor((self.high - self.low) / self.step + 1e-9) * self.step)


class LogUniformNode(_Range):
    """A positive number whose logarithm is evenly likely; with `steps`, one of so many evenly spaced logarithms."""

    search: Literal["log_uniform"]
    low: Annotated[Number, Field(gt=0.0)]
    high: Annotated[Number, Field(gt=0.0)]
    steps: Annotated[int, Field(ge=2, strict=True)] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return (self.low, self.high)


class ChoiceNode(Fields):
    """One of the listed values."""

    search: Literal["choice"]
    options: Annotated[tuple[Any, ...], Field(min_length=1)]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All options."""
        return self.options

    def place_of(self, value: object) -> Path:
        """Returns where below the node an option stands."""
        return ("options", self.options.index(value))


class OneOfNode(Fields):
    """One of several sections, each with search nodes of its own."""

    search: Literal["one_of"]
    options: Annotated[tuple[Any, ...], Field(min_length=1)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the options: their kind, numbered where a kind stands more than once."""
        kinds = [str(option.get("kind", "option")) if isinstance(option, dict) else "option" for option in self.options]
        return tuple(
            kind if kinds.count(kind) == 1 else f"{kind}-{kinds[: index + 1].count(kind)}"
            for index, kind in enumerate(kinds)
        )


LeafNode = IntNode | UniformNode | LogUniformNode | ChoiceNode
Node = LeafNode | OneOfNode
_NODES: TypeAdapter[Node] = TypeAdapter(Annotated[Node, Field(discriminator="search")])
_NODE_CLASSES: Mapping[str, type[Fields]] = {
    "int": IntNode,
    "uniform": UniformNode,
    "log_uniform": LogUniformNode,
    "choice": ChoiceNode,
    "one_of": OneOfNode,
}

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
    """

    sections: dict[str, Any]
    origins: Mapping[Path, Path]
    ends: Mapping[Path, Path]


@dataclass(frozen=True)
class Slot:
    """A hyperparameter.

    Attributes:
        name: By which it is chosen and told.
        node: What it may be.
        requires: Other hyperparameters by name, with the values of each for which this one exists.
    """

    name: str
    node: Node
    requires: Mapping[str, tuple[Any, ...]]

    def exists(self, chosen: Mapping[str, Any]) -> bool:
        """Returns whether it is to be chosen, after the hyperparameters before it were."""
        return all(name in chosen and chosen[name] in values for name, values in self.requires.items())


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
    return Resolved(sections, walk.origins, walk.ends)


def slots(template: Template) -> Iterator[Slot]:
    """Yields every hyperparameter of the template, also those that only some options have."""
    for name, value in template.sections.items():
        yield from _slots(value, (name,), {})


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
        problems.extend(_node_problems(error, path, source))
        return None
    if isinstance(node, OneOfNode):
        problems.extend(_option_problems(node, path, source))
        options = tuple(
            _parsed(option, (*path, "options", index), source, problems) for index, option in enumerate(node.options)
        )
        return node.model_copy(update={"options": options})  # nodes inside options are values already validated
    return node


def _node_problems(error: ValidationError, path: Path, source: Source) -> Iterator[Problem]:
    for each in error.errors():
        if each["type"].startswith("union_tag"):
            text = f"unknown kind of search node; write search: {', '.join(_NODE_CLASSES)}."
            yield Problem(source.place((*path, "search")), dotted((*path, "search")), text)
            continue
        tag, *below = each["loc"]
        inner = (*path, *below)
        yield Problem(source.place(inner), dotted(inner), message(each, tuple(below), _NODE_CLASSES[str(tag)]))


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
        return self._leaf(value, name, origin, path) if isinstance(value, Fields) else value

    def _leaf(self, node: Any, name: Path, origin: Path, path: Path) -> Any:
        chosen = self._choose(dotted(name), node)
        self.ends[path] = (*origin, *node.place_of(chosen))
        return chosen


def _slots(value: Any, name: Path, requires: Mapping[str, tuple[Any, ...]]) -> Iterator[Slot]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _slots(item, (*name, key), requires)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _slots(item, (*name, index), requires)
    elif isinstance(value, OneOfNode):
        yield Slot(dotted(name), value, requires)
        for label, option in zip(value.labels, value.options, strict=True):
            yield from _slots(option, (*name, label), {**requires, dotted(name): (label,)})
    elif isinstance(value, Fields):
        yield Slot(dotted(name), value, requires)  # type: ignore[arg-type]  # every Fields inside a template is a node
