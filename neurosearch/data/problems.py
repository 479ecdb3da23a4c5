"""What is wrong with the data: problems as values, all of them in one error."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

NAMED = 20  # of one sort that are listed one by one; more are counted


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        field: The config field it belongs to, such as `data.path`; whoever knows the file adds file and line.
        text: What is wrong, where, and how to mend it.
    """

    field: str
    text: str


class DataError(ValueError):
    """The data cannot be used; `problems` says everything that was found."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems; the message has one line for each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{field}: {text}" for field, text in self.problems))

    def __reduce__(self) -> tuple[type["DataError"], tuple[tuple[Problem, ...]]]:
        """Pickle by the problems, so that the error survives the way from a worker to the driver."""
        return type(self), (self.problems,)


class ServerAway(DataError):
    """The server that holds the data does not answer, or answers that it cannot now; later the same may work."""


def name_class(label: int, class_names: tuple[str, ...]) -> str:
    """Return how messages call a class: its number, and its name where that says more."""
    name = class_names[label] if label < len(class_names) else str(label)
    return f"class {label}" if name == str(label) else f"class {label} ({name})"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
