"""What was told and is not written yet: bounded, shared by the search that tells and the thread that writes."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from neurosearch.tracking.values import Record, Trial, TrialEnd


@dataclass(frozen=True)
class Told:
    """What there is to write of a trial at one moment.

    Attributes:
        trial: The trial.
        started_ms: When it was told, in milliseconds since 1970.
        records: Epoch records, each with the time it was told.
        end: Its end, if it was told.
    """

    trial: Trial
    started_ms: int
    records: tuple[tuple[Record, int], ...]
    end: TrialEnd | None


@dataclass
class _Entry:
    trial: Trial
    started_ms: int
    records: dict[int, tuple[Record, int]] = field(default_factory=dict)
    end: TrialEnd | None = None
    opened: bool = False
    changed: bool = True

    @property
    def size(self) -> int:
        return len(self.records) + (not self.opened)

    @property
    def missing(self) -> int:
        return self.size + (self.end is not None)


class Waiting:
    """Trials with something to write, oldest first.

    When too much waits, the trials that wait longest are given up: what was told of them, and what will be, is only
    counted. Whole trials, because the study's own storage has them whole.

    Args:
        max_size: How many starts and epochs may wait.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._changed = threading.Condition()
        self._entries: dict[int, _Entry] = {}
        self._given_up: set[int] = set()
        self._size = 0
        self._lost = 0
        self._stopping = False

    # The search tells.

    def start(self, trial: Trial) -> None:
        """A trial starts or goes on."""
        with self._changed:
            if trial.number in self._given_up:
                self._lost += 1
                return
            entry = self._entries.get(trial.number)
            if entry is None:
                self._entries[trial.number] = _Entry(trial, now_ms())
                self._size += 1
            else:
                entry.end = None
            self._tell(trial.number)

    def log(self, number: int, records: Sequence[Record]) -> None:
        """Epochs of a trial are done; those that wait already are kept as they are."""
        with self._changed:
            entry = self._entries.get(number)
            if entry is None:
                self._lost += len(records)
                return
            before, now = len(entry.records), now_ms()
            for record in records:
                entry.records.setdefault(int(record["epoch"]), (record, now))
            self._size += len(entry.records) - before
            self._tell(number)

    def end(self, number: int, end: TrialEnd) -> None:
        """A trial has ended."""
        with self._changed:
            entry = self._entries.get(number)
            if entry is None:
                self._lost += 1
                return
            entry.end = end
            self._tell(number)

    def stop(self) -> None:
        """No more is told: the thread need not wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # The thread writes.

    @property
    def stopping(self) -> bool:
        """Whether no more is told."""
        return self._stopping

    def wait_for_change(self) -> None:
        """Waits until there is something to write, or no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or any(each.changed for each in self._entries.values()))

    def pause(self, seconds: float) -> None:
        """Waits so long, shorter when no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=seconds)

    def numbers(self) -> list[int]:
        """Returns the trials with something to write; all of them when no more will come."""
        with self._changed:
            return [number for number, entry in self._entries.items() if entry.changed or self._stopping]

    def take(self, number: int) -> Told | None:
        """Returns what there is to write of a trial; it stays until it is crossed off."""
        with self._changed:
            entry = self._entries.get(number)
            if entry is None:
                return None
            entry.changed = False
            return Told(entry.trial, entry.started_ms, tuple(entry.records.values()), entry.end)

    def put_last(self, number: int) -> None:
        """Says that a trial could not be written; it goes last, so that it cannot hold up the others."""
        with self._changed:
            entry = self._entries.pop(number, None)
            if entry is not None:
                entry.changed = True
                self._entries[number] = entry

    def cross_off(self, number: int, told: Told) -> None:
        """Says that this was written."""
        with self._changed:
            entry = self._entries.get(number)
            if entry is None:
                return
            self._size -= entry.size
            entry.opened = True
            for record, _ in told.records:
                entry.records.pop(int(record["epoch"]), None)
            self._size += entry.size
            if entry.end is not None and entry.end is told.end and not entry.records:
                del self._entries[number]

    def give_up(self, number: int) -> None:
        """Stops waiting for a trial."""
        with self._changed:
            self._give_up(number)

    def any_open(self) -> bool:
        """Whether a trial has no end yet."""
        with self._changed:
            return bool(self._entries)

    def missing(self) -> int:
        """Returns how many starts, epochs and ends were told and not written."""
        with self._changed:
            return self._lost + sum(entry.missing for entry in self._entries.values())

    # With the condition held.

    def _tell(self, number: int) -> None:
        self._entries[number].changed = True
        while self._size > self._max_size:
            self._give_up(next(iter(self._entries)))
        self._changed.notify_all()

    def _give_up(self, number: int) -> None:
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._size -= entry.size
            self._lost += max(entry.missing, 1)
            self._given_up.add(number)


def now_ms() -> int:
    """Returns the time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000
