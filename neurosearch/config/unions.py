"""Where a trial's config holds a section of one of several kinds, told apart by its key `kind`."""

from collections.abc import Callable, Mapping

from neurosearch.config.base import Fields, Path
from neurosearch.config.kinds import KindGroup, kinds
from neurosearch.config.losses import LOSS_KINDS
from neurosearch.config.remedies import AUGMENTATION_KINDS, CLASSIFIER_KINDS, MIXING_KINDS


def _installed(group: KindGroup) -> Callable[[], Mapping[str, type[Fields]]]:
    return lambda: {name: kind.fields for name, kind in kinds(group).items()}


#: Those kinds by name, for each place; what is installed is asked for only when it is needed.
UNIONS: Mapping[Path, Callable[[], Mapping[str, type[Fields]]]] = {
    ("data",): _installed("data"),
    ("model",): _installed("models"),
    ("training", "loss"): lambda: LOSS_KINDS,
    ("training", "mixing"): lambda: MIXING_KINDS,
    ("training", "augmentation"): lambda: AUGMENTATION_KINDS,
    ("training", "classifier"): lambda: CLASSIFIER_KINDS,
    ("growth",): _installed("growth"),
}


def union_above(path: Path) -> Path | None:
    """Returns the place of the union that a path leads to or into; None if there is none."""
    return next((path[:length] for length in range(1, len(path) + 1) if path[:length] in UNIONS), None)


def without_tag(loc: Path) -> Path:
    """Drops the kind's name that pydantic puts into the path of what is inside a union."""
    union = union_above(loc)
    return loc if union is None else (*union, *loc[len(union) + 1 :])
