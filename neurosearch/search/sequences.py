"""Samplers that learn nothing: at random, a Sobol sequence, and a grid."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from neurosearch.config.search_nodes import Template
from neurosearch.search.finite import FiniteSpace
from neurosearch.search.history import Ask, Ending, Point
from neurosearch.search.space import Draw, distributions, position_at

_BLOCK = 64  # points of a sequence that are made at once; a power of two, of which Sobol sequences are balanced
_SKIPPED_PER_TRIAL = 100  # useless points of a sequence in a row, in a space of which nearly all breaks a rule
_RANDOM_DRAWS = 100


def random_draw(seed: int) -> Draw:
    """Returns a draw of independent positions, each evenly likely."""
    generator = np.random.default_rng(seed)
    return lambda _name, distribution: position_at(distribution, generator.random())


class RandomMirror:
    """Independent points."""

    num_draws = _RANDOM_DRAWS

    def add(self, number: int, point: Point) -> None:
        """Does nothing."""

    def ended(self, number: int, ending: Ending) -> None:
        """Does nothing."""

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Draws at random."""
        yield random_draw(ask.seed)


class _Sequence:
    """Points in a fixed order, whatever came of them; the next one is the first that is not known.

    A known point is of no use for ever, so the place in the sequence needs not be stored: a new process comes to it
    again over all points that are known.
    """

    def __init__(self) -> None:
        self._next = 0
        self._trials = 0

    @property
    def num_draws(self) -> int:
        """As many as lead over all known points to the next."""
        return self._limit() + 1

    def add(self, number: int, point: Point) -> None:  # noqa: ARG002  # the mirror's names
        """Counts a trial."""
        self._trials += 1

    def ended(self, number: int, ending: Ending) -> None:
        """Does nothing."""

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Gives the next point of the sequence; where positions are given, the others are random."""
        if ask.fixed:
            yield random_draw(ask.seed)
        elif self._next < self._limit():
            self._next += 1
            yield self._draw(self._next - 1)
        else:
            yield None

    def _draw(self, index: int) -> Draw:
        raise NotImplementedError

    def _limit(self) -> int:
        raise NotImplementedError


class SobolMirror(_Sequence):
    """A scrambled Sobol sequence with a coordinate for every hyperparameter, also for those of options not chosen."""

    def __init__(self, template: Template, seed: int) -> None:
        """Starts at the sequence's first point.

        Args:
            template: The space.
            seed: Of the scrambling.
        """
        from scipy.stats import qmc

        super().__init__()
        self._coordinates = {name: index for index, name in enumerate(distributions(template))}
        self._engine = qmc.Sobol(max(1, len(self._coordinates)), scramble=True, rng=np.random.default_rng(seed))
        self._block: Any = None

    def _draw(self, index: int) -> Draw:
        if index % _BLOCK == 0:
            self._block = self._engine.random(_BLOCK)
        shares = self._block[index % _BLOCK]

        def draw(name: str, distribution: BaseDistribution) -> Any:
            return position_at(distribution, float(shares[self._coordinates[name]]))

        return draw

    def _limit(self) -> int:
        return _SKIPPED_PER_TRIAL * (self._trials + 1)


class GridMirror(_Sequence):
    """Every point of a finite space once, in an order that spreads the first ones over the space."""

    def __init__(self, space: FiniteSpace, seed: int) -> None:
        """Starts at the order's first point.

        Args:
            space: All points.
            seed: Of the order.
        """
        super().__init__()
        self._space = space
        generator = random.Random(seed)  # noqa: S311  # its numbers may be as large as the space
        self._first = generator.randrange(space.size)
        self._stride = generator.randrange(space.size) or 1
        while math.gcd(self._stride, space.size) != 1:  # only then every point is met
            self._stride += 1

    def _draw(self, index: int) -> Draw:
        positions = self._space.point((self._first + index * self._stride) % self._space.size)
        return lambda name, _distribution: positions[name]

    def _limit(self) -> int:
        return self._space.size
