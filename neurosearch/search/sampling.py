"""Which configuration is tried next.

A sampler draws in a mirror of what the study knows. A draw that is no use (a point that was tried before, a config that
breaks a rule) leaves no trace, and a good one is handed out whole. The next suggestion depends on the study's seed, the
trials in the order of their numbers and how they ended, and on nothing else: a new process that is told the same
suggests the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from neurosearch.config.load import StudyConfig
from neurosearch.config.search_nodes import resolve
from neurosearch.config.trial import TrialConfig, config_key
from neurosearch.randomness import derive_seed
from neurosearch.search.finite import finite_space
from neurosearch.search.history import Ask, Ending, Mirror, Point
from neurosearch.search.listed import Listed
from neurosearch.search.samplers import new_mirror
from neurosearch.search.sequences import GridMirror, RandomMirror
from neurosearch.search.space import Draw, chooser

_MAXIMUM_SCAN = 50_000  # points of a finite space that are looked at for a new one, some seconds' worth


@dataclass(frozen=True)
class Suggestion:
    """A configuration to try.

    Attributes:
        config: What to run.
        values: The searched values by hyperparameter name.
        params: The same as Optuna's distributions know them.
        distributions: Those distributions.
    """

    config: TrialConfig
    values: dict[str, Any]
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]


class Suggester:
    """Draws configurations that were not tried before."""

    def __init__(self, config: StudyConfig, earlier: Sequence[tuple[Point, Ending]] = ()) -> None:
        """Starts without trials.

        Args:
            config: The study: its space, its sampler and its seed.
            earlier: Trials of another study that the sampler learns from (see `warm_start.placed`).
        """
        self._config = config
        self._finite = finite_space(config.template)
        self._mirror = new_mirror(config, self._finite)
        self._listed = Listed(config.study.search.points, config.template)
        self._known: set[bytes] = set()  # digests of configs
        self._useless: set[frozenset[tuple[str, Any]]] = set()  # points that are known, or break a rule
        for number, (point, ending) in enumerate(earlier, start=-len(earlier)):
            self._mirror.add(number, point)
            self._mirror.ended(number, ending)

    def add(self, number: int, trial: FrozenTrial, config: Mapping[str, Any]) -> None:
        """Takes over a trial that an earlier process suggested; it counts as running until it has ended."""
        self.know(config)
        self._take(number, Point(trial.params, trial.distributions))

    def know(self, config: Mapping[str, Any]) -> None:
        """Takes note of a configuration that runs without having been suggested, so that it is not suggested."""
        self._known.add(_digest(config))

    def ended(self, number: int, values: tuple[float, ...] | None, violation: float) -> None:
        """Takes note of the end of a suggested trial.

        Args:
            number: The study's number of the trial.
            values: Its objectives, in the order of the config; None when it failed.
            violation: By how much it is beyond the size limit and the constraints, as shares; at most 0 within them.
        """
        self._mirror.ended(number, Ending(values, violation))

    def stopped(self, number: int, values: tuple[float, ...], violation: float, epoch: int) -> None:
        """Takes note of a suggested trial that was stopped after an epoch, with its objectives and violation then."""
        self._mirror.ended(number, Ending(values, violation, epoch))

    def suggest(self, number: int) -> Suggestion | None:
        """Returns a configuration for the trial of this number; None when no new one was found in many draws.

        Points that the user listed come first; one that is known already needs no second trial.
        """
        while (fixed := self._listed.next()) is not None:
            suggestion = self._drawn(number, fixed)
            if suggestion is not None:
                return suggestion
            self._listed.drop()
        return self._drawn(number, {})

    def _drawn(self, number: int, fixed: Mapping[str, Any]) -> Suggestion | None:
        suggestion = self._drawn_from(self._mirror, number, fixed, first=0)
        if suggestion is None and self._config.study.search.sampler != "grid":
            suggestion = self._drawn_from(RandomMirror(), number, fixed, first=self._mirror.num_draws)
        if suggestion is None and self._finite is not None and not fixed:
            suggestion = self._drawn_from(GridMirror(self._finite, self._seed(number, -1)), number, fixed, first=0)
        if suggestion is not None:
            self._known.add(_digest(suggestion.config.model_dump(mode="json")))
            self._take(number, Point(suggestion.params, suggestion.distributions))
        return suggestion

    def _drawn_from(self, mirror: Mirror, number: int, fixed: Mapping[str, Any], first: int) -> Suggestion | None:
        for attempt in range(min(mirror.num_draws, _MAXIMUM_SCAN)):
            with mirror.drawing(Ask(self._seed(number, first + attempt), attempt, fixed)) as draw:
                if draw is None:
                    return None
                suggestion = self._useful(draw, fixed)
            if suggestion is not None:
                return suggestion
        return None

    def _useful(self, draw: Draw, fixed: Mapping[str, Any]) -> Suggestion | None:
        """Draws one point; None when it is known or breaks a rule."""
        values: dict[str, Any] = {}
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}

        def recorded(name: str, distribution: BaseDistribution) -> Any:
            distributions[name] = distribution
            params[name] = fixed[name] if name in fixed else draw(name, distribution)
            return params[name]

        resolve(self._config.template, chooser(recorded, values.__setitem__))
        point = frozenset(params.items())
        if point in self._useless:
            return None
        self._useless.add(point)
        try:
            config = self._config.trial(lambda name, _node: values[name])
        except ValueError:  # a rule is broken in between the ends, which alone were checked when the config was read
            return None
        is_known = _digest(config.model_dump(mode="json")) in self._known
        return None if is_known else Suggestion(config, values, params, distributions)

    def _take(self, number: int, point: Point) -> None:
        self._useless.add(frozenset(point.params.items()))
        self._listed.take(point.params)
        self._mirror.add(number, point)

    def _seed(self, *labels: int | str) -> int:
        return derive_seed(self._config.study.seed, "sampler", *labels) % 2**32  # numpy's largest


def _digest(config: Mapping[str, Any]) -> bytes:
    return sha256(config_key(config).encode()).digest()
