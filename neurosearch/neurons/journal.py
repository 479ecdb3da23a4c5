"""What undoes a change that is under way."""

from collections.abc import Callable


class Journal:
    """Notes how to take back each action, and does so in reverse order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def did(self, undo: Callable[[], None]) -> None:
        """Note how to take back what was just done, or what is done next."""
        self._undo.append(undo)

    def roll_back(self) -> None:
        """Take everything back."""
        while self._undo:
            self._undo.pop()()
