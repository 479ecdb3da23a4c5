"""The search node that draws a schedule of growth and pruning.

A schedule of n events within N epochs is a set of n different epochs. Each event is placed by a share: of all schedules
that go on from the events before it, so large a share has this event earlier. So 0 is the earliest epoch possible, 1
the latest, and even shares make all schedules equally likely. Shares of the span alone would not: the first cycle would
take half of it, and leave the last one next to nothing.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from neurosearch.config.base import Count, Index, Number, Path
from neurosearch.config.kinds import Conflict, ConflictError
from neurosearch.config.nodes import CompositeNode, CountRange, Counts, Leaf, ShareRange, Shares, UniformNode

MAXIMUM_CYCLES = 100


class ScheduleNode(CompositeNode):
    """Cycles of growth and pruning: ordered events whose additions and removals cancel."""

    gives: ClassVar[str] = "a list of events and belongs at growth.events of the kind events"

    search: Literal["schedule"]
    cycles: Counts = Field(description="How often neurons come and go, such as 2 or {low: 1, high: 3}")
    first_epoch: Index = Field(0, description="Whole epochs trained before the earliest event; 0: before the first")
    last_epoch: Count = Field(description="Whole epochs trained before the latest event possible")
    add_share: Shares = Field(
        description="Neurons that each cycle adds and removes, as a share of the base width, such as 0.5 or "
        "{low: 0.25, high: 1.0}"
    )
    share_step: Annotated[Number, Field(gt=0.0, le=1.0)] | None = Field(
        None, description="Steps of the shares that place the events, such as 0.25; absent: continuous"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        conflict = self._conflict()
        if conflict is not None:
            raise ConflictError((conflict,))
        return self

    def _conflict(self) -> Conflict | None:
        field = "cycles.high" if isinstance(self.cycles, CountRange) else "cycles"
        num_epochs, num_events = self.last_epoch - self.first_epoch + 1, 2 * self._most_cycles
        if self.first_epoch >= self.last_epoch:
            return Conflict(
                ("first_epoch", "last_epoch"),
                f"first_epoch is {self.first_epoch} and last_epoch is {self.last_epoch}; first_epoch must be smaller.",
            )
        if self._most_cycles > MAXIMUM_CYCLES:
            return Conflict((field,), f"is {self._most_cycles}, but must be at most {MAXIMUM_CYCLES}.")
        if num_events > num_epochs:
            return Conflict(
                (field, "last_epoch"),
                f"{self._most_cycles} cycles need {num_events} different epochs to grow and prune at, but from "
                f"first_epoch {self.first_epoch} to last_epoch {self.last_epoch} there are {num_epochs}. Lower {field} "
                "or raise last_epoch.",
            )
        return None

    @property
    def _most_cycles(self) -> int:
        return self.cycles.high if isinstance(self.cycles, CountRange) else self.cycles

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The number of cycles; of each cycle start, length and amount. What is written as one value is no leaf."""
        return tuple(self._leaves())

    def _leaves(self) -> Iterator[Leaf]:
        if isinstance(self.cycles, CountRange):
            yield Leaf("cycles", self.cycles.leaf, {})
        place = UniformNode(search="uniform", low=0.0, high=1.0, step=self.share_step)
        for cycle in range(1, self._most_cycles + 1):
            requires = {}
            if isinstance(self.cycles, CountRange) and cycle > self.cycles.low:
                requires = {"cycles": tuple(range(cycle, self.cycles.high + 1))}
            yield Leaf(f"cycle_{cycle}.start", place, requires, "share_step")
            yield Leaf(f"cycle_{cycle}.length", place, requires, "share_step")
            if isinstance(self.add_share, ShareRange):
                yield Leaf(f"cycle_{cycle}.add_share", self.add_share.leaf, requires, "add_share.step")

    @cached_property
    def extremes(self) -> tuple[Mapping[str, Any], ...]:
        """Fewest and most cycles of least and most neurons: as early, as late and as long as they can be."""
        last = UniformNode(search="uniform", low=0.0, high=1.0, step=self.share_step).ends[1]
        amounts = self.add_share.ends if isinstance(self.add_share, ShareRange) else (self.add_share,)
        cycles = self.cycles.ends if isinstance(self.cycles, CountRange) else (self.cycles,)
        return tuple(
            self._all_alike(number, amount, start, length, last_length)
            for number, amount in product(cycles, amounts)
            for start, length, last_length in ((0.0, 0.0, 0.0), (last, last, last), (0.0, 0.0, last))
        )

    def _all_alike(
        self, cycles: int, amount: float, start: float, length: float, last_length: float
    ) -> Mapping[str, Any]:
        found: dict[str, Any] = {"cycles": cycles} if isinstance(self.cycles, CountRange) else {}
        for cycle in range(1, cycles + 1):
            found[f"cycle_{cycle}.start"] = start
            found[f"cycle_{cycle}.length"] = last_length if cycle == cycles else length
            if isinstance(self.add_share, ShareRange):
                found[f"cycle_{cycle}.add_share"] = amount
        return found

    def value(self, chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Returns the events, one growth and one pruning for each cycle."""
        cycles = range(1, chosen.get("cycles", self.cycles) + 1)
        shares = [chosen[f"cycle_{cycle}.{part}"] for cycle in cycles for part in ("start", "length")]
        epochs = self._epochs(shares)
        events: list[dict[str, Any]] = []
        for cycle, grown, pruned in zip(cycles, epochs[::2], epochs[1::2], strict=True):
            amount = chosen.get(f"cycle_{cycle}.add_share", self.add_share)
            events += [{"epoch": grown, "add_share": amount}, {"epoch": pruned, "remove_share": amount}]
        return events

    def _epochs(self, shares: Sequence[float]) -> list[int]:
        epochs: list[int] = []
        for index, share in enumerate(shares):
            earliest, room = self._room(epochs, len(shares) - index)
            epochs.append(earliest + room.gap(share))
        return epochs

    def _room(self, epochs: Sequence[int], to_come: int) -> tuple[int, "_Room"]:
        """Returns the earliest epoch of the next of so many events to come, and its room from there on."""
        earliest = epochs[-1] + 1 if epochs else self.first_epoch
        return earliest, _Room(self.last_epoch - earliest + 1, to_come)

    def chosen(self, value: Any) -> dict[str, Any] | None:
        """Returns leaves that give these events; None when they are no cycles."""
        cycles = _cycles_of(value)
        shares = self._shares([epoch for grown, pruned, _ in cycles for epoch in (grown, pruned)])
        if not cycles or shares is None:
            return None
        found: dict[str, Any] = {"cycles": len(cycles)} if isinstance(self.cycles, CountRange) else {}
        for cycle, (_, _, amount) in enumerate(cycles, start=1):
            found[f"cycle_{cycle}.start"], found[f"cycle_{cycle}.length"] = shares[2 * cycle - 2 : 2 * cycle]
            if isinstance(self.add_share, ShareRange):
                found[f"cycle_{cycle}.add_share"] = amount
        return found

    def _shares(self, epochs: Sequence[int]) -> list[float] | None:
        """Returns shares that place events at these epochs, from the middle of all that do, or the first such step."""
        shares: list[float] = []
        for index, epoch in enumerate(epochs):
            earliest, room = self._room(epochs[:index], len(epochs) - index)
            share = room.share(epoch - earliest, self.share_step)
            if share is None:
                return None
            shares.append(share)
        return shares

    def place_of(self, path: Path, value: Any) -> Path:
        """Returns the key that decides an epoch or an amount."""
        match path:
            case (int(index), "epoch"):
                return ("first_epoch",) if index == 0 else ("last_epoch",)
            case (_, "add_share" | "remove_share") if isinstance(self.add_share, ShareRange):
                return ("add_share", *self.add_share.leaf.place_of(value))
            case (_, "add_share" | "remove_share"):
                return ("add_share",)
            case _:
                return ()


@dataclass(frozen=True)
class _Room:
    """Where the next event may be, before those that come after it.

    Attributes:
        num_epochs: Epochs left.
        to_come: Events still to be placed in them, the next one included.
    """

    num_epochs: int
    to_come: int

    @property
    def longest(self) -> int:
        """The most epochs that may pass before the next event."""
        return self.num_epochs - self.to_come

    def share_later(self, gap: int) -> float:
        """Returns the share of all schedules before whose next event at least so many epochs pass."""
        return math.prod((self.num_epochs - gap - each) / (self.num_epochs - each) for each in range(self.to_come))

    def gap(self, share: float) -> int:
        """Returns how many epochs pass, so that a share of all schedules has the next event earlier."""
        if share in (0.0, 1.0):  # a short cut: a check looks at ends only, and at many
            return self.longest if share else 0
        gaps = range(1, self.longest + 1)
        return bisect_right(gaps, share - 1, key=lambda gap: -self.share_later(gap))

    def share(self, gap: int, step: float | None) -> float | None:
        """Returns a share under which so many epochs pass: the middle one or the first step; None if there is none."""
        if not 0 <= gap <= self.longest:
            return None
        low, high = 1 - self.share_later(gap), 1 - self.share_later(gap + 1)
        first = 0 if step is None else math.ceil(low / step - 1e-9)
        shares = [(low + high) / 2] if step is None else [first * step, (first + 1) * step]  # low itself is rounded
        return next((share for share in shares if self.gap(share) == gap), None)


def _cycles_of(events: Any) -> list[tuple[int, int, float]]:
    """Returns the epochs of growth and pruning and the amount of every cycle; nothing where events are no cycles."""
    try:
        pairs = [(events[index], events[index + 1]) for index in range(0, len(events), 2)]
        cycles = [(a["epoch"], b["epoch"], a["add_share"], b["remove_share"]) for a, b in pairs]
    except (LookupError, TypeError):
        return []
    return [cycle[:3] for cycle in cycles] if all(cycle[2] == cycle[3] for cycle in cycles) else []
