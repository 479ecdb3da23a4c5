"""Layouts that this process has seen, by hash: a plan names its layout by hash alone."""

from threading import Lock

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.units import Layout, Units

_layouts: dict[str, Layout] = {}
_lock = Lock()


def remember(units: Units) -> Units:
    """Keep the layout of some units; return them with the kept one, so that equal layouts are one object."""
    with _lock:
        layout = _layouts.setdefault(units.layout.digest, units.layout)
    return units if layout is units.layout or units.frozen != layout.frozen else Units(layout, units.sizes)


def layout_by_digest(digest: str) -> Layout:
    """Return a layout.

    Raises:
        SurgeryError: If this process has not seen it.
    """
    with _lock:
        layout = _layouts.get(digest)
    if layout is None:
        raise SurgeryError(
            "The plan was made for a structure that this process has not seen. Call find_units or restore_structure on "
            "the model first."
        )
    return layout
