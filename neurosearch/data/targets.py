"""Quantities that a regression learns: what can be wrong with them, and how they are scaled.

Shape letters: n examples, T targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Targets = npt.NDArray[Any]
# Below, standardised targets would be rounding, since outputs in the user's units are float32.
_LEAST_SPREAD = 1e-6
_LEAST_DEVIATION = 1e-30


@dataclass(frozen=True)
class TargetScaling:
    """How targets become what a network learns: (y - mean) / std, of the training part; exported networks undo it.

    Attributes:
        names: T names, in the order of the outputs.
        mean: Of each target, in the user's units.
        std: As `mean`, the standard deviation (divisor n), nowhere 0.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def standardise(self, y: Targets) -> npt.NDArray[np.float32]:
        """Return targets (n,) or (n, T) in the user's units as standardised float32 (n, T)."""
        return ((_columns(y) - self.mean) / self.std).astype(np.float32)


def scaling_of(y: Targets, names: tuple[str, ...]) -> TargetScaling:
    """Return the scaling of a training part's targets (n,) or (n, T)."""
    columns = _columns(y)
    return TargetScaling(names, tuple(columns.mean(0).tolist()), tuple(columns.std(0).tolist()))


def unscaled(names: tuple[str, ...]) -> TargetScaling:
    """Return the scaling that leaves targets as they are."""
    return TargetScaling(names, (0.0,) * len(names), (1.0,) * len(names))


def target_names(y: Targets, stored: npt.NDArray[Any] | None) -> tuple[str, ...]:
    """Return the stored names, else y for a lone target and y0, y1 and so on for several."""
    if stored is not None and stored.size:
        return names_in(stored)
    return ("y",) if y.ndim < 2 else tuple(f"y{index}" for index in range(y.shape[1])) or ("y0",)


def names_in(stored: npt.NDArray[Any]) -> tuple[str, ...]:
    """Return stored names as text; bytes that are no UTF-8 stay in it, for whoever checks the names to find."""
    decoded = (each.decode(errors="surrogateescape") if isinstance(each, bytes) else each for each in stored.flat)
    return tuple(map(str, decoded))


def check_targets(y_train: Targets, y_test: Targets, names: tuple[str, ...]) -> Iterator[str]:
    """Yield everything that is wrong with the targets of the source's two parts."""
    for name, y in (("y_train", y_train), ("y_test", y_test)):
        if y.ndim not in (1, 2) or 0 in y.shape[1:]:
            yield f"{name} has shape {y.shape}, but targets are one number an example, or one row of them. Reshape it."
        elif not _is_real(y):
            yield f"{name} holds {y.dtype}, but targets are real numbers. Save it with .astype('float32')."
        elif not len(y):
            yield f"{name} is empty. Save at least one example in each part."
        elif len(bad := np.flatnonzero(~_fits_float32(_columns(y)).all(1))):
            yield (
                f"{name} has targets that are not finite, or beyond float32, in {len(bad)} of {len(y)} rows, first in "
                f"row {bad[0]}. Remove those rows, or take larger units."
            )
    if y_train.shape[1:] != y_test.shape[1:]:
        yield (
            f"y_train has targets of shape {y_train.shape[1:]} and y_test of {y_test.shape[1:]}. "
            "Save the same targets in both."
        )
    elif y_train.ndim in (1, 2) and len(names) != (y_train.shape[1] if y_train.ndim == 2 else 1):
        yield f"target_names has {len(names)} names for targets of shape {y_train.shape}. Name each target once."
    if len(set(names)) != len(names):
        yield f"target_names names {', '.join(names)}: one name twice. Give every target its own name."


def check_spread(y: Targets, names: tuple[str, ...]) -> Iterator[str]:
    """Yield which targets of a training part do not vary enough to be learned; they were checked otherwise."""
    columns = _columns(y)
    spread, size = columns.std(0), np.abs(columns).max(0)
    least = np.maximum(_LEAST_SPREAD * size, _LEAST_DEVIATION)
    flat = [name for name, std, below in zip(names, spread, least, strict=True) if std <= below]
    if flat:
        yield (
            f"y_train has no spread in {', '.join(flat)}: the {len(columns)} training examples (without the validation "
            "part) have one value, or differ by less than float32 can tell. Leave constant targets out, subtract a "
            "large offset, or take smaller units."
        )


def _is_real(y: Targets) -> bool:
    return np.issubdtype(y.dtype, np.floating) or np.issubdtype(y.dtype, np.integer)


def _fits_float32(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.isfinite(columns) & (np.abs(columns) <= np.finfo(np.float32).max)


def _columns(y: Targets) -> npt.NDArray[np.float64]:
    columns = np.asarray(y, dtype=np.float64)
    return columns[:, None] if columns.ndim == 1 else columns
