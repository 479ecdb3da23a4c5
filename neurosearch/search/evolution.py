"""CMA-ES over the ranges of one branch (Hansen 2016, arXiv:1604.00772), by generations of trials in their order.

Every range is the unit interval here; a step is its middle. A generation is told once all of its trials have ended, so
the state is a function of the ended trials and needs not be stored. Trials that start before that are drawn from the
generation before: nobody waits.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from cmaes import CMA, get_warm_start_mgd
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from neurosearch.randomness import derive_seed
from neurosearch.search.history import Ask, Ending, Entry, History, Point
from neurosearch.search.sequences import random_draw
from neurosearch.search.space import Draw, position_at, share_of

_START_DEVIATION = 1 / 6  # of the unit interval, so that the whole of it is within three deviations of its middle
_WARM_SHARE = 0.1  # of an earlier study's trials, the best of which say where to start (arXiv:2012.06932)
_DRAWS = 5


class EvolutionMirror:
    """CMA-ES for one objective."""

    num_draws = _DRAWS

    def __init__(self, space: Mapping[str, BaseDistribution], sign: int, seed: int) -> None:
        """Starts in the middle of the space.

        Args:
            space: Distributions of the branch by name.
            sign: 1 when less of the objective is better, else -1.
            seed: Of the restarts' places.
        """
        self._ranges = {
            name: each
            for name, each in space.items()
            if isinstance(each, IntDistribution | FloatDistribution) and not each.single()
        }
        self._sign = sign
        self._seed = seed
        self._history = History()
        self._told = 0
        self._restarts = 0
        self._strategy: CMA | None = None

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts."""
        self._history.add(number, point)

    def ended(self, number: int, ending: Ending) -> None:
        """Takes the end of a trial."""
        self._history.ended(number, ending)

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Draws from the normal distribution of the newest whole generation."""
        at_random = random_draw(ask.seed)
        strategy = self._evolved() if self._ranges else None
        if strategy is None:
            yield at_random
            return
        strategy.reseed_rng(ask.seed)
        shares = dict(zip(self._ranges, np.clip(strategy.ask(), 0.0, 1.0), strict=True))

        def draw(name: str, distribution: BaseDistribution) -> Any:
            if name not in shares:
                return at_random(name, distribution)
            return position_at(distribution, float(shares[name]))

        yield draw

    def _evolved(self) -> CMA:
        if self._strategy is None:
            self._strategy = self._warm() or self._fresh(np.full(len(self._ranges), 0.5), None)
        while (generation := self._next_generation()) is not None:
            self._strategy.tell(list(zip(map(self._shares, generation), self._losses(generation), strict=True)))
            self._told += len(generation)
            if self._strategy.should_stop():
                self._strategy = self._restarted(self._strategy)
        return self._strategy

    def _next_generation(self) -> list[Entry] | None:
        assert self._strategy is not None
        following = self._history.entries[self._told : self._told + self._strategy.population_size]
        whole = len(following) == self._strategy.population_size
        return following if whole and all(entry.ending is not None for entry in following) else None

    def _fresh(self, mean: Any, population: int | None, deviation: float = _START_DEVIATION, cov: Any = None) -> CMA:
        bounds = np.array([[0.0, 1.0]] * len(self._ranges))
        return CMA(mean=mean, sigma=deviation, bounds=bounds, population_size=population, cov=cov, seed=0)

    def _warm(self) -> CMA | None:
        """Starts where the best trials of an earlier study lie, if there are any."""
        earlier = [entry for entry in self._history if entry.number < 0]
        self._told = len(earlier)
        if not earlier:
            return None
        solutions = list(zip(map(self._shares, earlier), self._losses(earlier), strict=True))
        mean, deviation, cov = get_warm_start_mgd(solutions, gamma=max(_WARM_SHARE, 1 / len(earlier)))
        return self._fresh(np.clip(mean, 0.0, 1.0), None, deviation, cov)

    def _restarted(self, strategy: CMA) -> CMA:
        """Starts anew elsewhere with twice the population: it has converged, or stands on a plateau."""
        self._restarts += 1
        generator = np.random.default_rng(derive_seed(self._seed, "restart", self._restarts))
        return self._fresh(generator.random(len(self._ranges)), 2 * strategy.population_size)

    def _shares(self, entry: Entry) -> Any:
        return np.array([share_of(each, entry.point.params[name]) for name, each in self._ranges.items()])

    def _losses(self, entries: list[Entry]) -> list[float]:
        """Returns numbers to be made small: the objective, and above all of it what is beyond bounds, by how much."""
        within = [self._sign * values[0] for entry in entries if (values := _values_within(entry))]
        worst = max(within, default=0.0)
        return [
            self._sign * values[0] if (values := _values_within(entry)) else worst + 1 + _badness(entry)
            for entry in entries
        ]


def _values_within(entry: Entry) -> tuple[float, ...] | None:
    return entry.ending.values if entry.ending is not None and entry.ending.badness <= 0 else None


def _badness(entry: Entry) -> float:
    assert entry.ending is not None, "only ended trials are compared"
    return entry.ending.badness
