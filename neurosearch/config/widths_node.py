"""The search node that draws the number of layers and the width of each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from neurosearch.config.base import MAXIMUM_LAYERS, Count, Number, Path
from neurosearch.config.kinds import Conflict, ConflictError
from neurosearch.config.nodes import CompositeNode, CountRange, Counts, IntNode, Leaf, LogIntNode, UniformNode


class WidthsNode(CompositeNode):
    """Widths of so many layers: free of each other, all the same, or never wider than the layer before."""

    gives: ClassVar[str] = "a list of layer widths and belongs where one stands, such as at model.widths"

    search: Literal["widths"]
    depth: Counts = Field(description="Number of layers, such as 2 or {low: 1, high: 4}")
    low: Count = Field(description="Smallest width")
    high: Count = Field(description="Largest width")
    spacing: Literal["linear", "log"] = Field(
        "linear", description="linear: widths `step` apart; log: `steps` widths with evenly spaced logarithms"
    )
    step: Count | None = Field(None, description="For spacing linear: difference of neighbouring widths; absent: 1")
    steps: Annotated[int, Field(ge=2, le=1000, strict=True)] | None = Field(
        None, description="For spacing log: number of widths; absent: each about twice the one before"
    )
    shape: Literal["free", "constant", "tapering"] = Field(
        "free",
        description="free: every layer has its own width; constant: all the same; tapering: no layer is wider "
        "than the one before it",
    )
    share_step: Annotated[Number, Field(gt=0.0, le=1.0)] | None = Field(
        None,
        description="For shape tapering: steps of a layer's share of the one before, such as 0.25; absent: continuous",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        conflicts = tuple(self._conflicts())
        if conflicts:
            raise ConflictError(conflicts)
        return self

    def _conflicts(self) -> Iterator[Conflict]:
        if self.low > self.high:
            yield Conflict(("low", "high"), f"low is {self.low} and high is {self.high}. Exchange them.")
        if self._most_layers > MAXIMUM_LAYERS:
            field = "depth.high" if isinstance(self.depth, CountRange) else "depth"
            yield Conflict((field,), f"is {self._most_layers}, but must be at most {MAXIMUM_LAYERS}.")
        if self.spacing == "log" and self.step is not None:
            yield Conflict(
                ("step", "spacing"), "step is for spacing: linear. With log, write steps: the number of widths."
            )
        if self.spacing == "linear" and self.steps is not None:
            yield Conflict(
                ("steps", "spacing"), "steps is for spacing: log. With linear, write step: their difference."
            )
        if self.shape != "tapering" and self.share_step is not None:
            yield Conflict(("share_step", "shape"), f"share_step is for shape: tapering, but shape is {self.shape}.")

    @property
    def _most_layers(self) -> int:
        return self.depth.high if isinstance(self.depth, CountRange) else self.depth

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The number of layers and the width of each. What can have one value only is no leaf."""
        return tuple(self._leaves())

    def _leaves(self) -> Iterator[Leaf]:
        if isinstance(self.depth, CountRange):
            yield Leaf("depth", self.depth.leaf, {})
        if self._width is None:
            return
        if self.shape == "constant":
            yield Leaf("width", self._width, {})
            return
        share = UniformNode(search="uniform", low=0.0, high=1.0, step=self.share_step)
        for layer in range(1, self._most_layers + 1):
            requires = {}
            if isinstance(self.depth, CountRange) and layer > self.depth.low:
                requires = {"depth": tuple(range(layer, self.depth.high + 1))}
            if self.shape == "free" or layer == 1:
                yield Leaf(f"layer_{layer}", self._width, requires)
            else:
                yield Leaf(f"layer_{layer}_share", share, requires, "share_step")

    @cached_property
    def _width(self) -> IntNode | LogIntNode | None:
        """What one width may be; None if it is always the smallest."""
        if self.low == self.high:
            return None
        if self.spacing == "log":
            doublings = max(1, round(math.log2(self.high / self.low)))
            return LogIntNode(search="log_int", low=self.low, high=self.high, steps=self.steps or doublings + 1)
        return IntNode(search="int", low=self.low, high=self.high, step=self.step or 1)

    @cached_property
    def extremes(self) -> tuple[Mapping[str, Any], ...]:
        """Fewest and most layers: all smallest, all largest, and the steepest rise and fall that the shape has."""
        low, high = self._width.ends if self._width is not None else (self.low, self.low)
        found: list[dict[str, Any]] = []
        for depth in self.depth.ends if isinstance(self.depth, CountRange) else (self.depth,):
            rise, fall = [*[low] * (depth - 1), high], [high, *[low] * (depth - 1)]
            mixed = {"free": (rise, fall), "tapering": (fall,), "constant": ()}[self.shape]
            found += [self.chosen(widths) or {} for widths in ([low] * depth, [high] * depth, *mixed)]
        return tuple(each for index, each in enumerate(found) if each not in found[:index])

    def value(self, chosen: Mapping[str, Any]) -> list[int]:
        """Returns the width of every layer."""
        widths: list[int] = []
        for layer in range(1, chosen.get("depth", self.depth) + 1):
            if self._width is None:
                widths.append(self.low)
            elif self.shape == "constant":
                widths.append(chosen["width"])
            elif self.shape == "free" or layer == 1:
                widths.append(chosen[f"layer_{layer}"])
            else:
                choices = self._up_to(widths[-1])
                widths.append(choices[min(int(chosen[f"layer_{layer}_share"] * len(choices)), len(choices) - 1)])
        return widths

    def chosen(self, value: Any) -> dict[str, Any] | None:
        """Returns leaves that give these widths; None when they are no list of them."""
        if not isinstance(value, list | tuple) or not value or not all(isinstance(width, int) for width in value):
            return None
        found: dict[str, Any] = {"depth": len(value)} if isinstance(self.depth, CountRange) else {}
        if self._width is not None and self.shape == "constant":
            found["width"] = value[0]
        elif self._width is not None:
            for layer, width in enumerate(value, start=1):
                if self.shape == "free" or layer == 1:
                    found[f"layer_{layer}"] = width
                else:
                    found[f"layer_{layer}_share"] = self._share(width, value[layer - 2])
        return found

    def _share(self, width: int, before: int) -> float:
        choices = self._up_to(before)
        position = choices.index(width) if width in choices else 0
        if self.share_step is None:
            return (position + 0.5) / len(choices)
        return self.share_step * math.ceil(position / len(choices) / self.share_step - 1e-9)

    def _up_to(self, width: int) -> Sequence[int]:
        """Returns the widths that a layer after one of this width may have."""
        if isinstance(self._width, LogIntNode):
            return [each for each in self._width.values if each <= width]
        assert self._width is not None
        return range(self.low, width + 1, self._width.step)

    def place_of(self, path: Path, value: Any) -> Path:
        """Returns the key that decides the number of layers, or a width."""
        if not path:
            return (
                ("depth", *self.depth.leaf.place_of(len(value))) if isinstance(self.depth, CountRange) else ("depth",)
            )
        return self._width.place_of(value) if self._width is not None else ("low",)
