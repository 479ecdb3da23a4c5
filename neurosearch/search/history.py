"""What samplers learn from: points by trial number, and how each ended."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.distributions import BaseDistribution

from neurosearch.search.space import Draw

# Badness of a trial stopped within all bounds, the later the better: behind all that finished, before all beyond.
_STOPPED = 1e-3
_FAILED = 1.0


@dataclass(frozen=True)
class Point:
    """A point of the space.

    Attributes:
        params: Positions by hyperparameter name.
        distributions: What they were drawn from.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        values: Objectives in the order of the config; None when it failed.
        violation: By how much it is beyond size limit and constraints, as shares; at most 0 within them.
        stopped_epoch: Epoch at which it was cut short, its values being those of that epoch; None when it was not.
    """

    values: tuple[float, ...] | None
    violation: float
    stopped_epoch: int | None = None

    @property
    def badness(self) -> float:
        """A violation on a scale of its own, from -1 to 1; above 0 a trial is worse than every one that finished."""
        if self.values is None:
            return _FAILED
        if self.violation > 0:
            return _STOPPED + (_FAILED - _STOPPED) * self.violation / (1 + self.violation)
        if self.stopped_epoch is not None:
            return _STOPPED / (1 + self.stopped_epoch)
        return max(self.violation, -1.0)

    @property
    def excess(self) -> float:
        """The badness for samplers that learn from what a stopped trial had to show, as from any other value.

        If whatever finishes stands before whatever was stopped, the first few that finish, by luck or because nobody
        was there to compare with, are all that is good, and a model of the good ones never leaves their region. The
        value at a stop errs to the safe side: what trains on mostly gets better.
        """
        is_stopped_within = self.stopped_epoch is not None and self.violation <= 0
        return max(self.violation, -1.0) if is_stopped_within else self.badness


@dataclass
class Entry:
    """A trial as a sampler knows it; without an ending while it runs.

    Attributes:
        number: The study's number of the trial; negative for those of an earlier study.
        point: What it tries.
        ending: How it ended.
    """

    number: int
    point: Point
    ending: Ending | None = None


@dataclass
class History:
    """Trials in the order of their numbers.

    Attributes:
        entries: All of them.
    """

    entries: list[Entry] = field(default_factory=list)
    _places: dict[int, int] = field(default_factory=dict)

    def add(self, number: int, point: Point) -> Entry:
        """Takes a trial that starts; its number is above all others."""
        assert not self.entries or number > self.entries[-1].number
        self._places[number] = len(self.entries)
        self.entries.append(Entry(number, point))
        return self.entries[-1]

    def ended(self, number: int, ending: Ending) -> Entry:
        """Takes the end of a trial."""
        entry = self.entries[self._places[number]]
        entry.ending = ending
        return entry

    def place(self, number: int) -> int:
        """Returns how many trials have smaller numbers."""
        return self._places[number]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


@dataclass(frozen=True)
class Ask:
    """One request for a point.

    Attributes:
        seed: Of everything random in it.
        attempt: How many points of this trial were of no use before.
        fixed: Positions that are given; the others are drawn.
    """

    seed: int
    attempt: int
    fixed: Mapping[str, Any]


class Mirror(Protocol):
    """A sampler with all that it knows: what it draws depends on the trials, by their numbers, and the ask alone.

    So it makes no difference in what order trials ended, or whether a new process told it all over again.
    """

    @property
    def num_draws(self) -> int:
        """How many attempts a trial is worth."""

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts; its number is above all others."""

    def ended(self, number: int, ending: Ending) -> None:
        """Takes the end of a trial."""

    def drawing(self, ask: Ask) -> AbstractContextManager[Draw | None]:
        """Opens a draw of one point; None when no point is left."""
