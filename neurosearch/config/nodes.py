"""Nodes of a search space: what a hyperparameter may be, and composites of several hyperparameters.

A leaf is one hyperparameter. A composite gives one value of the config out of several leaves, some of which exist only
for certain values of others; whoever draws, stores or counts sees nothing but its leaves.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.config.base import Count, Fields, Number, Path


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


class _RangeNode(_Range):
    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        raise NotImplementedError

    def place_of(self, value: object) -> Path:
        """Returns where below the node a value stands: at an end, or nowhere."""
        lowest, highest = self.ends
        return ("low",) if value == lowest else ("high",) if value == highest else ()


class IntNode(_RangeNode):
    """A whole number."""

    search: Literal["int"]
    low: Annotated[int, Field(strict=True)]
    high: Annotated[int, Field(strict=True)]
    step: Count = 1

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value that the steps reach."""
        return (self.low, self.low + (self.high - self.low) // self.step * self.step)


class UniformNode(_RangeNode):
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
        return (self.low, self.at(math.floor((self.high - self.low) / self.step + 1e-9)))

    def at(self, step: int) -> float:
        """Returns the value so many steps above the low end, as one would write it; never above the high end."""
        assert self.step is not None
        written = Decimal(repr(self.low)) + step * Decimal(repr(self.step))  # of floats, 0.1 + 2 * 0.1 is not 0.3
        return min(float(written), self.high)


class LogUniformNode(_RangeNode):
    """A positive number whose logarithm is evenly likely; with `steps`, one of so many evenly spaced logarithms."""

    search: Literal["log_uniform"]
    low: Annotated[Number, Field(gt=0.0)]
    high: Annotated[Number, Field(gt=0.0)]
    steps: Annotated[int, Field(ge=2, strict=True)] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return (self.low, self.high)


class LogIntNode(_RangeNode):
    """A positive whole number, one of so many with about evenly spaced logarithms."""

    search: Literal["log_int"]
    low: Count
    high: Count
    steps: Annotated[int, Field(ge=2, le=1000, strict=True)]

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return (self.low, self.high)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """All values, ascending; fewer than `steps` where two logarithms round to the same whole number."""
        ratio, last = self.high / self.low, self.steps - 1
        return tuple(sorted({round(self.low * ratio ** (step / last)) for step in range(self.steps)}))


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


LeafNode = IntNode | UniformNode | LogUniformNode | LogIntNode | ChoiceNode


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


@dataclass(frozen=True)
class Leaf:
    """One hyperparameter of a composite.

    Attributes:
        name: Its name below the composite's, such as `cycle_1.start`.
        node: What it may be.
        requires: Other leaves, by name, with the values of each for which this one exists.
        stepped_by: The composite's key that gives a continuous range steps.
    """

    name: str
    node: LeafNode
    requires: Mapping[str, tuple[Any, ...]]
    stepped_by: str = "step"

    def exists(self, chosen: Mapping[str, Any]) -> bool:
        """Returns whether it is to be chosen, after the leaves before it were."""
        return all(name in chosen and chosen[name] in values for name, values in self.requires.items())


class CompositeNode(Fields):
    """A node that makes its value out of several leaves, valid by construction.

    Attributes:
        gives: What its value is, and where it belongs, for the message where it stands in a wrong place.
    """

    gives: ClassVar[str]

    search: str

    @cached_property
    @abstractmethod
    def leaves(self) -> tuple[Leaf, ...]:
        """Its hyperparameters; one that others require comes before them."""

    @cached_property
    @abstractmethod
    def extremes(self) -> tuple[Mapping[str, Any], ...]:
        """Leaves by name that make its most extreme values; every end of its keys is reached in one of them."""

    @abstractmethod
    def value(self, chosen: Mapping[str, Any]) -> Any:
        """Returns the plain value for the leaves that exist, by name."""

    @abstractmethod
    def chosen(self, value: Any) -> dict[str, Any] | None:
        """Returns leaves that give a plain value, by name; None when the node cannot give it."""

    @abstractmethod
    def place_of(self, path: Path, value: Any) -> Path:
        """Returns which of the node's own keys decides a part of its value.

        Args:
            path: Of the part, below the value.
            value: The part.
        """


ONE, RANGE = "<one>", "<range>"  # the two forms of a composite's key; no key of a file looks like them


class CountRange(_Range):
    """A whole number between two ends."""

    low: Count
    high: Count

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return self.leaf.ends

    @property
    def leaf(self) -> IntNode:
        """The same as a hyperparameter."""
        return IntNode(search="int", low=self.low, high=self.high)


class ShareRange(_Range):
    """A share between two ends."""

    low: Annotated[Number, Field(gt=0.0, le=4.0)]
    high: Annotated[Number, Field(gt=0.0, le=4.0)]
    step: Annotated[Number, Field(gt=0.0)] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value that the steps reach."""
        return self.leaf.ends

    @property
    def leaf(self) -> UniformNode:
        """The same as a hyperparameter."""
        return UniformNode(search="uniform", low=self.low, high=self.high, step=self.step)


def _form(value: Any) -> str:
    return RANGE if isinstance(value, dict | Fields) else ONE


Counts = Annotated[Annotated[Count, Tag(ONE)] | Annotated[CountRange, Tag(RANGE)], Discriminator(_form)]
Shares = Annotated[
    Annotated[Number, Field(gt=0.0, le=4.0), Tag(ONE)] | Annotated[ShareRange, Tag(RANGE)], Discriminator(_form)
]
