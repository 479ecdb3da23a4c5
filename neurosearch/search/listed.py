"""Points that the user wants tried first."""

from collections.abc import Mapping, Sequence
from typing import Any

from neurosearch.config.points import ListedPoint, given
from neurosearch.config.search_nodes import Template, slots
from neurosearch.search.space import position_of


class Listed:
    """Listed points that no trial has tried yet.

    Each trial answers the first open point that it agrees with, so which are open follows from the trials alone.
    """

    def __init__(self, points: Sequence[ListedPoint], template: Template) -> None:
        """Opens all points.

        Args:
            points: As the config has them, checked.
            template: The space.
        """
        nodes = {slot.name: slot.node for slot in slots(template)}
        values = [given(point, template) for point in points]
        self._open = [{name: position_of(nodes[name], value) for name, value in point.items()} for point in values]

    def next(self) -> Mapping[str, Any] | None:
        """Returns the positions of the first open point."""
        return self._open[0] if self._open else None

    def drop(self) -> None:
        """Closes the first open point: its result is known, or nothing that agrees with it can be tried."""
        del self._open[0]

    def take(self, params: Mapping[str, Any]) -> None:
        """Closes the first open point that a trial's positions agree with."""
        for index, point in enumerate(self._open):
            if all(name in params and params[name] == position for name, position in point.items()):
                del self._open[index]
                return
