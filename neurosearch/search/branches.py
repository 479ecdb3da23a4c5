"""One sampler for each branch of a space: for each way to choose among the options of its `one_of`s."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from neurosearch.config.samplers import branches_of, is_in_branch
from neurosearch.config.search_nodes import OneOfNode, Template, slots
from neurosearch.search.history import Ask, Ending, Mirror, Point
from neurosearch.search.space import Draw, distribution_of, position_at

#: Makes the sampler of a branch from its distributions.
MakeMirror = Callable[[Mapping[str, BaseDistribution]], Mirror]


@dataclass
class _Branch:
    labels: Mapping[str, str]
    space: Mapping[str, BaseDistribution]
    mirror: Mirror
    trials: int = 0

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Tells whether positions can lie in this branch."""
        return all(params.get(name, label) == label for name, label in self.labels.items()) and all(
            name in self.space or name in self.labels for name in params
        )

    def whole(self, point: Point) -> Point:
        """Puts what a point lacks, because other values of it make it void, into the middle of its range."""
        params = {name: point.params.get(name, position_at(each, 0.5)) for name, each in self.space.items()}
        return Point(params, self.space)


class Branches:
    """Branches take turns: the next trial is of the one with the fewest so far, in the order of the file.

    Trials of an earlier study are no turns: were they all of one branch, the others would have every turn for long.
    """

    def __init__(self, template: Template, make: MakeMirror) -> None:
        """Starts with empty branches.

        Args:
            template: The space.
            make: Makes each branch's sampler.
        """
        spaces = [(labels, _space(template, labels)) for labels in branches_of(template)]
        self._branches = [_Branch(labels, space, make(space)) for labels, space in spaces]
        self._of: dict[int, _Branch] = {}

    @property
    def num_draws(self) -> int:
        """A turn for each branch at least, as one may be used up."""
        return max(branch.mirror.num_draws for branch in self._branches) + len(self._branches) - 1

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts into its branch."""
        branch = next(branch for branch in self._branches if branch.holds(point.params))
        branch.trials += number >= 0  # those of an earlier study have numbers below
        branch.mirror.add(number, branch.whole(point))
        self._of[number] = branch

    def ended(self, number: int, ending: Ending) -> None:
        """Takes the end of a trial into its branch."""
        self._of[number].mirror.ended(number, ending)

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Draws from the branch whose turn it is; once it has failed often enough, from the one after."""
        possible = sorted((each for each in self._branches if each.holds(ask.fixed)), key=lambda each: each.trials)
        own = possible[0].mirror.num_draws
        branch = possible[max(0, ask.attempt - own + 1) % len(possible)]
        with branch.mirror.drawing(ask) as inner:
            yield None if inner is None else _labelled(branch.labels, inner)


def _labelled(labels: Mapping[str, str], inner: Draw) -> Draw:
    def draw(name: str, distribution: BaseDistribution) -> Any:
        return labels[name] if name in labels else inner(name, distribution)

    return draw


def _space(template: Template, labels: Mapping[str, str]) -> dict[str, BaseDistribution]:
    return {
        slot.name: distribution_of(slot.node)
        for slot in slots(template)
        if not isinstance(slot.node, OneOfNode) and is_in_branch(slot, labels)
    }
