"""Kinds: the models, data and growth policies a config may name, ours and everybody else's, by entry points.

A package offers a kind through an entry point in the group `neurosearch.models`, `neurosearch.data` or
`neurosearch.growth` that names a `Kind`. Ours are offered in the same way: nothing of ours can do what theirs cannot.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from neurosearch.config.base import Fields

if TYPE_CHECKING:
    from neurosearch.config.trial import TrialConfig

KindGroup = Literal["models", "data", "growth"]


@dataclass(frozen=True)
class Conflict:
    """Two or more fields that are fine alone and wrong together.

    Attributes:
        fields: Dotted paths, such as `growth.period_epochs` or `growth.events[1].epoch`.
        text: What is wrong and how to mend it.
    """

    fields: tuple[str, ...]
    text: str


class ConflictError(ValueError):
    """Fields that are fine alone and wrong together; the loader finds their lines."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        self.conflicts = conflicts
        super().__init__("; ".join(f"{' and '.join(each.fields)}: {each.text}" for each in conflicts))


class KindError(Exception):
    """An installed package offers a kind that cannot be used: no mistake of the config."""


Rule = Callable[["TrialConfig"], Iterable[Conflict]]


@dataclass(frozen=True)
class Kind:
    """What a kind is made of.

    Attributes:
        fields: The fields of its section; a `Literal` field `kind` names it.
        build: Turns validated fields into the thing itself. Importing the module that holds the kind must not import
            torch: `check` reads every kind's fields and takes less than a second.
        rules: Checks over the whole trial that the fields alone cannot express.
        scale: For models: fields of the same family, so many times as wide (the control's widths are found with it).
        peak: For growth: the most neurons that a group of some base size may come to hold (the memory that a trial
            needs is found with it); None where no group ever outgrows its base size.
    """

    fields: type[Fields]
    build: Callable[..., Any]
    rules: tuple[Rule, ...] = ()
    scale: Callable[[Any, float], Fields] | None = None
    peak: Callable[[Any, int], int] | None = None


@cache
def kinds(group: KindGroup) -> Mapping[str, Kind]:
    """Returns the installed kinds of a group by name.

    Raises:
        KindError: If an entry point does not name a `Kind`, or two packages offer the same name.
    """
    found: dict[str, Kind] = {}
    for point in sorted(entry_points(group=f"neurosearch.{group}"), key=lambda point: point.name):
        kind = _loaded(point)
        if not isinstance(kind, Kind):
            raise KindError(
                f"entry point {point.name!r} of group neurosearch.{group} names {point.value}, which is a "
                f"{type(kind).__name__}, not a neurosearch.config.kinds.Kind. Mend the package that offers it."
            )
        if point.name in found:
            raise KindError(
                f"two installed packages offer the kind {point.name!r} in group neurosearch.{group}. "
                "Uninstall one, or rename its entry point."
            )
        found[point.name] = kind
    return found


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # whatever another package does when it is imported, its name must be told
        raise KindError(
            f"the kind {point.name!r} of group {point.group} cannot be loaded: {type(error).__name__}: {error}. "
            f"Mend or uninstall the package that offers {point.value}."
        ) from error


class AnyKind:
    """Annotates a field whose type is the union of the installed kinds' fields, told apart by `kind`."""

    def __init__(self, group: KindGroup) -> None:
        self.group = group

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(kind.fields) for name, kind in kinds(self.group).items()}
        return core_schema.tagged_union_schema(choices, discriminator="kind")
