"""What a saved state of a training begins with, and whether a training may go on from it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from neurosearch.training.settings import TrainingSettings

#: Of the dict that a trainer saves; another one is refused, since its training could not be gone on with.
FORMAT = 2


def header(settings: TrainingSettings) -> dict[str, Any]:
    """Return what every state begins with."""
    return {"format": FORMAT, "settings": asdict(settings)}


def check_header(state: Mapping[str, Any], settings: TrainingSettings) -> None:
    """Check that a training with these settings may go on from a state.

    Raises:
        ValueError: The state has another format, or is of a training with other settings.
    """
    if state["format"] != FORMAT:
        raise ValueError(
            f"the checkpoint has format {state['format']}, and this version reads format {FORMAT}. Go on with the "
            "version that wrote it, or delete the checkpoint to start anew."
        )
    differing = sorted(key for key, value in asdict(settings).items() if state["settings"].get(key) != value)
    if differing:
        raise ValueError(
            f"the checkpoint is of a training with other settings ({', '.join(differing)}), so going on would be "
            "neither training. Restore the settings, or delete the checkpoint to start anew."
        )
