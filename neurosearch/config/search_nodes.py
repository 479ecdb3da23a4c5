"""Search nodes: values of the config that the search chooses, and the templates that hold them.

A node stands in the YAML where a value would: `learning_rate: {search: log_uniform, low: 1e-4, high: 1e-1}`. Nodes are
taken out of the raw mapping before anything else reads it; `resolve` puts chosen values in their places. The same
walk serves the sampler (which draws values) and the check of every end and option (which enumerates them).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.config.base import Count, Fields, Path, Problem, dotted
from neurosearch.config.yaml_source import Source

SEARCHED_SECTIONS = ("data", "model", "training", "growth")
MAXIMUM_CORNERS = 4096  # about 0.3 s of validation; beyond it every pair of ends is checked instead of every corner


class _Range(Fields):
    @model_validator(mode="after")
    def _is_not_reversed(self) -> Self:
        low, high = getattr(self, "low"), getattr(self, "high")  # noqa: B009  # fields of the subclasses
        if low >= high:
            raise PydanticCustomError(
                "reversed", "low is {low} and high is {high}; low must be smaller", {"low": low, "high": high}
            )
        return self


class IntNode(_Range):
    """A whole number."""

    search: Literal["int"]
    low: Annotated[int, Field(strict=True)]
    high: Annotated[int, Field(strict=True)]
    step: Count = 1

    @property
    def ends(self) -> tuple[int, ...]:
        return (self.low, self.low + (self.high - self.low) // self.step * self.step)


class UniformNode(_Range):
    """A number, evenly likely between two ends."""

    search: Literal["uniform"]
    low: float
    high: float
    step: Annotated[float, Field(gt=0.0)] | None = None

    @property
    def ends(self) -> tuple[float, ...]:
        if self.step is None:
            return (self.low, self.high)
        # 1e-9: (0.7 - 0.1) / 0.2 is 2.999..., and its last step must not be lost
        return (self.low, self.low + math.floor((self.high - self.low) / self.step + 1e-9) * self.step)


class LogUniformNode(_Range):
    """A positive number whose logarithm is evenly likely; with `steps`, one of so many evenly spaced logarithms."""

    search: Literal["log_uniform"]
    low: Annotated[float, Field(gt=0.0)]
    high: Annotated[float, Field(gt=0.0)]
    steps: Annotated[int, Field(ge=2, strict=True)] | None = None

    @property
    def ends(self) -> tuple[float, ...]:
        return (self.low, self.high)


class ChoiceNode(Fields):
    """One of the listed values."""

    search: Literal["choice"]
    options: Annotated[tuple[Any, ...], Field(min_length=1)]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.options


class OneOfNode(Fields):
    """One of several sections, each with search nodes of its own."""

    search: Literal["one_of"]
    options: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the options: their kind, numbered where a kind stands more than once."""
        kinds = [str(option.get("kind", "option")) for option in self.options]
        return tuple(
            kind if kinds.count(kind) == 1 else f"{kind}-{kinds[: index + 1].count(kind)}"
            for index, kind in enumerate(kinds)
        )


LeafNode = IntNode | UniformNode | LogUniformNode | ChoiceNode
Node = LeafNode | OneOfNode
_NODES: TypeAdapter[Node] = TypeAdapter(Annotated[Node, Field(discriminator="search")])

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
    """A template with values put in: plain sections, and for each path where its value came from."""

    sections: dict[str, Any]
    origins: Mapping[Path, Path]


@dataclass(frozen=True)
class Slot:
    """A hyperparameter: its name, its node, and the options that must be chosen for it to exist."""

    name: str
    node: Node
    requires: Mapping[str, str]


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
    origins: dict[Path, Path] = {}
    sections = {
        name: _resolved(value, (name,), (name,), (name,), choose, origins) for name, value in template.sections.items()
    }
    return Resolved(sections, origins)


def slots(template: Template) -> Iterator[Slot]:
    """Yields every hyperparameter of the template, also those that only some options have."""
    for name, value in template.sections.items():
        yield from _slots(value, (name,), {})


def corners(template: Template) -> Iterator[Resolved]:
    """Yields the template at the ends and options of its nodes.

    Every combination where there are at most `MAXIMUM_CORNERS`; else every pair of ends, which is enough for every rule
    over two searched fields.
    """
    every = list(slots(template))
    if _num_corners(template) <= MAXIMUM_CORNERS:
        chosen = _all_assignments(every)
    else:
        chosen = _pair_assignments(every)
    for assignment in chosen:
        yield resolve(template, lambda name, node, a=assignment: a[name] if name in a else _ends(node)[0])  # type: ignore[misc]


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
        options = tuple(
            _parsed(option, (*path, "options", index), source, problems) for index, option in enumerate(node.options)
        )
        return node.model_copy(update={"options": options})  # nodes inside options are values already validated
    return node


def _node_problems(error: ValidationError, path: Path, source: Source) -> Iterator[Problem]:
    for each in error.errors():
        if each["type"].startswith("union_tag"):
            text = f"unknown kind of search node; write search: {_one_of_words()}."
            yield Problem(source.place((*path, "search")), dotted((*path, "search")), text)
            continue
        inner = (*path, *each["loc"][1:])
        yield Problem(source.place(inner), dotted(inner), f"{each['msg']}.")


def _one_of_words() -> str:
    return "int, uniform, log_uniform, choice or one_of"


def _resolved(value: Any, name: Path, origin: Path, path: Path, choose: Choose, origins: dict[Path, Path]) -> Any:
    """Resolves one value: `name` is its hyperparameter's name, `origin` its place in the file, `path` in the result."""
    origins[path] = origin
    if isinstance(value, dict):
        return {
            key: _resolved(item, (*name, key), (*origin, key), (*path, key), choose, origins)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _resolved(item, (*name, index), (*origin, index), (*path, index), choose, origins)
            for index, item in enumerate(value)
        ]
    if isinstance(value, OneOfNode):
        label = choose(dotted(name), value)
        index = value.labels.index(label)
        return _resolved(value.options[index], (*name, label), (*origin, "options", index), path, choose, origins)
    return choose(dotted(name), value) if isinstance(value, Fields) else value


def _slots(value: Any, name: Path, requires: Mapping[str, str]) -> Iterator[Slot]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _slots(item, (*name, key), requires)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _slots(item, (*name, index), requires)
    elif isinstance(value, OneOfNode):
        yield Slot(dotted(name), value, requires)
        for label, option in zip(value.labels, value.options, strict=True):
            yield from _slots(option, (*name, label), {**requires, dotted(name): label})
    elif isinstance(value, Fields):
        yield Slot(dotted(name), value, requires)  # type: ignore[arg-type]  # every Fields inside a template is a node


def _ends(node: Node) -> tuple[Any, ...]:
    return node.labels if isinstance(node, OneOfNode) else node.ends


def _num_corners(template: Template) -> int:
    return _count(template.sections)


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return math.prod(_count(item) for item in value.values())
    if isinstance(value, list):
        return math.prod(_count(item) for item in value)
    if isinstance(value, OneOfNode):
        return sum(_count(option) for option in value.options)
    return len(_ends(value)) if isinstance(value, Fields) else 1  # type: ignore[arg-type]  # as in _slots


def _all_assignments(every: list[Slot]) -> Iterator[dict[str, Any]]:
    def extend(assignment: dict[str, Any], rest: list[Slot]) -> Iterator[dict[str, Any]]:
        if not rest:
            yield assignment
            return
        slot, *later = rest
        if any(assignment.get(name) != label for name, label in slot.requires.items()):
            yield from extend(assignment, later)
            return
        for end in _ends(slot.node):
            yield from extend({**assignment, slot.name: end}, later)

    return extend({}, every)


def _pair_assignments(every: list[Slot]) -> Iterator[dict[str, Any]]:
    yield {}
    for slot in every:
        for end in _ends(slot.node):
            yield {**slot.requires, slot.name: end}
    for first, second in combinations(every, 2):
        needed = {**first.requires, **second.requires}
        if all(needed.get(name) == label for name, label in (*first.requires.items(), *second.requires.items())):
            for left, right in islice(product(_ends(first.node), _ends(second.node)), MAXIMUM_CORNERS):
                yield {**needed, first.name: left, second.name: right}
