"""Our kinds of data: their fields, and where their arrays come from.

Importing this module imports neither torch nor scikit-learn: `check` reads the fields of every kind.
"""

from typing import TYPE_CHECKING

from neurosearch.config.data import DigitsFields, NpzFields
from neurosearch.config.kinds import Kind

if TYPE_CHECKING:
    from neurosearch.data.arrays import ArraySource


def build_digits(_fields: DigitsFields) -> "ArraySource":
    """Builds the source of scikit-learn's embedded digits."""
    from neurosearch.data.digits import DigitsSource

    return DigitsSource()


def build_npz(fields: NpzFields) -> "ArraySource":
    """Builds the source that reads a numpy archive."""
    from neurosearch.data.npz import NpzSource

    return NpzSource(fields.path, fields.layout, fields.scale)


DIGITS = Kind(DigitsFields, build_digits)
NPZ = Kind(NpzFields, build_npz)
