"""Tree-structured Parzen estimators over the whole space, its conditional parts included."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

from neurosearch.config.search import Direction
from neurosearch.config.search_nodes import Slot, Template, slots
from neurosearch.search.history import Ask, Ending, Point
from neurosearch.search.mirrors import InMemoryStudy
from neurosearch.search.space import Draw, distribution_of, position_at, value_of

_DRAWS = 5  # the sampler may insist on points that were tried


class TreeMirror:
    """TPE (Bergstra et al. 2011), for any space and any number of objectives."""

    num_draws = _DRAWS

    def __init__(self, directions: Sequence[Direction], template: Template) -> None:
        """Starts without trials.

        Args:
            directions: Of the objectives.
            template: The space.
        """
        self._study = InMemoryStudy(directions)
        self._groups = _groups(template)

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts."""
        self._study.add(number, point)

    def ended(self, number: int, ending: Ending) -> None:
        """Takes the end of a trial."""
        self._study.end(number, ending.values, ending.excess)

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Draws the hyperparameters that exist together jointly."""
        with self._study.drawing(_GroupedTree(self._groups, ask)) as draw:
            yield draw


class _GroupedTree(TPESampler):
    """TPE whose groups follow from the space.

    Optuna's own `group` finds them in the trials, each time anew, and draws for options that are not chosen as well.
    """

    def __init__(self, groups: Sequence[Sequence[Slot]], ask: Ask) -> None:
        super().__init__(seed=ask.seed, multivariate=True)
        self._groups = groups
        self._fixed = ask.fixed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Returns all hyperparameters."""
        return {slot.name: distribution_of(slot.node) for group in self._groups for slot in group}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws one group after the other, those that exist by what was drawn before."""
        positions: dict[str, Any] = {}
        chosen: dict[str, Any] = {}
        for group in self._groups:
            if group[0].exists(chosen):
                space = {slot.name: search_space[slot.name] for slot in group}
                alone = {name: position_at(each, 0.0) for name, each in space.items() if each.single()}
                drawn = {**alone, **self._drawn(study, trial, space), **_within(self._fixed, space)}
                positions.update(drawn)
                chosen.update(
                    {slot.name: value_of(slot.node, drawn[slot.name]) for slot in group if slot.name in drawn}
                )
        return positions

    def _drawn(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]) -> dict[str, Any]:
        several = {name: each for name, each in space.items() if not each.single()}
        return self._sample_relative(study, trial, several)


def _groups(template: Template) -> list[list[Slot]]:
    """Returns hyperparameters that exist under the same conditions together, in the order of the file."""
    found: dict[str, list[Slot]] = {}
    for slot in slots(template):
        found.setdefault(repr(sorted(slot.requires.items())), []).append(slot)
    return list(found.values())


def _within(positions: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {name: position for name, position in positions.items() if name in space}
