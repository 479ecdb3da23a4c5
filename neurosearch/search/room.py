"""How much of a machine a trial has for itself, and how much it has after it ran out of memory."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from neurosearch.config.trial import TrialConfig
from neurosearch.search.seams import TrialInfo

if TYPE_CHECKING:
    from neurosearch.build.memory import MemoryNeed
    from neurosearch.data.prepared import PreparedData

Gpus = float | Literal["auto"]


@dataclass(frozen=True)
class Room:
    """What a trial runs in.

    Attributes:
        gpus: GPUs of the trial; below 1 the same share of the GPU's memory is its own.
        alone: Whether no other trial of the study runs beside it, so that the memory of the CPU is its own.
        memory: Bytes of a cluster node's memory that are set aside for it; 0: none.
    """

    gpus: float
    alone: bool = False
    memory: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Room":
        """Rebuilds a room from `to_dict`."""
        return cls(float(values["gpus"]), bool(values["alone"]), int(values["memory"]))


def larger_room(room: Room, concurrency: int) -> Room | None:
    """Returns where a trial that ran out of memory may be tried once more; None where there is no larger room.

    Args:
        room: Where it ran out.
        concurrency: Trials that run at the same time.
    """
    if 0 < room.gpus < 1:
        return replace(room, gpus=min(1.0, 2 * room.gpus))
    if room.gpus == 0 and not room.alone and concurrency > 1:
        return replace(room, alone=True)
    return None


def room_words(room: Room) -> str:
    """Returns what a room is, as a part of a sentence."""
    if room.alone:
        return "with no other trial beside it"
    return f"with {room.gpus:g} of a GPU" if room.gpus <= 1 else f"with {room.gpus:g} GPUs"


class UsualRooms:
    """What each trial runs in that has not run out of memory: what the config says, or what it will need."""

    def __init__(
        self,
        gpus: Gpus,
        data: "Callable[[TrialConfig], PreparedData]",
        gpu_bytes: Callable[[], int],
        node_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Takes what is needed to tell.

        Args:
            gpus: `search.gpus_per_trial`.
            data: Opens a trial's.
            gpu_bytes: Returns how large the memory of a GPU is; asked at most once, and only for `auto`.
            node_bytes: Returns how large the memory of the largest node is; None where trials run on this machine,
                whose memory is not divided.
        """
        self._gpus = gpus
        self._data = data
        self._gpu_bytes = cache(gpu_bytes)
        self._node_bytes = None if node_bytes is None else cache(node_bytes)

    def __call__(self, trial: TrialInfo) -> Room:
        """Returns the room of a trial; its data is prepared."""
        return Room(self._gpus_of(trial), memory=self._memory_of(trial))

    def _gpus_of(self, trial: TrialInfo) -> float:
        if self._gpus != "auto":
            return self._gpus
        from neurosearch.build.memory import gpu_share

        need = self._need(trial, on_gpu=True)
        return 1.0 if need is None else gpu_share(need, self._gpu_bytes())

    def _memory_of(self, trial: TrialInfo) -> int:
        """Returns how much of a node is set aside: what is not known gets no more than the least."""
        if self._node_bytes is None:
            return 0
        from neurosearch.build.memory import node_share

        return min(node_share(self._need(trial, on_gpu=False)), self._node_bytes())

    def _need(self, trial: TrialInfo, *, on_gpu: bool) -> "MemoryNeed | None":
        """Returns what a trial will hold; None where somebody's network cannot tell shapes without content."""
        from neurosearch.build.memory import memory_need

        config = TrialConfig.model_validate(trial.config)
        try:
            return memory_need(config, self._data(config).manifest, on_gpu=on_gpu)
        except RuntimeError:
            return None


def least_gpus(gpus: Gpus) -> float:
    """Returns what a cluster must have for any trial to run."""
    return 1.0 if gpus == "auto" else gpus
