"""How much of a machine a trial has for itself, and how much it has after it ran out of memory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Room:
    """What a trial runs in.

    Attributes:
        gpus: GPUs of the trial; below 1 the same share of the GPU's memory is its own.
        alone: Whether no other trial of the study runs beside it, so that the memory of the CPU is its own.
    """

    gpus: float
    alone: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Room":
        """Rebuilds a room from `to_dict`."""
        return cls(float(values["gpus"]), bool(values["alone"]))


def larger_room(room: Room, concurrency: int) -> Room | None:
    """Returns where a trial that ran out of memory may be tried once more; None where there is no larger room.

    Args:
        room: Where it ran out.
        concurrency: Trials that run at the same time.
    """
    if 0 < room.gpus < 1:
        return Room(min(1.0, 2 * room.gpus))
    if room.gpus == 0 and not room.alone and concurrency > 1:
        return Room(0.0, alone=True)
    return None


def room_words(room: Room) -> str:
    """Returns what a room is, as a part of a sentence."""
    if room.alone:
        return "with no other trial beside it"
    return f"with {room.gpus:g} of a GPU" if room.gpus <= 1 else f"with {room.gpus:g} GPUs"
