"""What one trial runs: a training, told epoch by epoch and to its end. Knows nothing of Ray.

A trial never ends the study by an error of its own: whatever goes wrong becomes its failed outcome. Only a disk that
takes no more is everybody's trouble: then the trial stops without an end, and goes on when the study is resumed.
"""

import errno
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from neurosearch import names
from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.outcome import TrialOutcome, TrialResult, last_epoch, read_result, write_result, write_text
from neurosearch.training.records import EpochRecord, TrialFailed

_DISK_TAKES_NO_MORE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class TrialUpdate:
    """What is new of a trial.

    Attributes:
        number: The study's number of the trial.
        records: New epoch records, as dicts; after a resume also those of before.
        outcome: How it ended; None while it goes on.
        halt: Why the whole study cannot go on; None if it can.
    """

    number: int
    records: tuple[dict[str, Any], ...]
    outcome: TrialOutcome | None = None
    halt: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        outcome = self.outcome.to_dict() if self.outcome else None
        return {"number": self.number, "records": list(self.records), "outcome": outcome, "halt": self.halt}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialUpdate":
        """Rebuilds an update from `to_dict`."""
        outcome = TrialOutcome.from_dict(values["outcome"]) if values["outcome"] else None
        return cls(values["number"], tuple(values["records"]), outcome, values["halt"])


class Training(Protocol):
    """A training as a trial needs it."""

    @property
    def history(self) -> list[EpochRecord]:
        """Records of all epochs done, those before a resume included."""

    def epochs(self) -> Iterator[EpochRecord]:
        """Trains what is left, epoch by epoch."""

    def deliver(self) -> EpochRecord:
        """Makes the network final after the last epoch, keeps it, and returns its record."""


class OpenTraining(Protocol):
    """Makes a trial's training, or opens the one that was begun."""

    def __call__(self, config: TrialConfig, folder: StudyFolder, number: int, device: str) -> Training:
        """Returns the training.

        Args:
            config: The trial's config.
            folder: The study's.
            number: The trial's; its checkpoints lie in `folder.trial(number)`.
            device: What torch calls the device to train on.
        """


def open_training(config: TrialConfig, folder: StudyFolder, number: int, device: str) -> Training:
    """Opens the training that the build room makes of the config."""
    return _BuiltTraining(config, folder, number, device)


def trial_updates(
    leased: LeasedTrial, folder: StudyFolder, device: str, opened: OpenTraining = open_training
) -> Iterator[TrialUpdate]:
    """Runs a trial, or goes on with it; yields an update after each epoch, and at last one with the outcome.

    Args:
        leased: The trial.
        folder: The study's.
        device: What torch calls the device to train on, such as `cpu` or `cuda`.
        opened: Makes the training.
    """
    done = read_result(folder.result(leased.number))
    if done is not None:  # it ended, and the process that searches died before it heard of it
        yield TrialUpdate(leased.number, done.records, done.outcome)
        return
    run = _TrialRun(leased, folder)
    try:
        try:
            yield from run.updates(opened, device)
        except Exception as error:  # the one place where any error of a trial becomes its outcome
            if disk_takes_no_more(error):
                raise
            yield run.failed(error)
    except OSError as error:
        if not disk_takes_no_more(error):
            raise
        yield TrialUpdate(leased.number, (), halt=disk_words(error, folder))


def merged(updates: Iterable[TrialUpdate]) -> list[TrialUpdate]:
    """Returns the same news in one update for each trial, in the order of their first."""
    found: dict[int, TrialUpdate] = {}
    for each in updates:
        before = found.get(each.number, TrialUpdate(each.number, ()))
        records, halt = before.records + each.records, before.halt or each.halt
        found[each.number] = TrialUpdate(each.number, records, before.outcome or each.outcome, halt)
    return list(found.values())


def disk_takes_no_more(error: Exception) -> bool:
    """Says whether an error means that nothing can be written any more, by whichever trial."""
    return isinstance(error, OSError) and error.errno in _DISK_TAKES_NO_MORE


def disk_words(error: OSError, folder: StudyFolder) -> str:
    """Returns what a user should hear about a disk that takes no more."""
    return (
        f"nothing can be written to {folder.path}: {error.strerror}. Nothing is lost: make room, then go on with "
        f"`{folder.command('resume')}`."
    )


class _TrialRun:
    """A trial that runs: its records so far."""

    def __init__(self, leased: LeasedTrial, folder: StudyFolder) -> None:
        self._leased = leased
        self._folder = folder
        self._records: list[dict[str, Any]] = []
        self._started = perf_counter()
        self._seconds_before = 0.0

    def updates(self, opened: OpenTraining, device: str) -> Iterator[TrialUpdate]:
        number = self._leased.number
        training = opened(TrialConfig.model_validate(self._leased.config), self._folder, number, device)
        if training.history:
            self._records = [record.to_dict() for record in training.history]
            self._seconds_before = sum(record["metrics"].get(names.EPOCH_SECONDS, 0.0) for record in self._records)
            yield TrialUpdate(number, tuple(self._records))
        for record in training.epochs():
            self._records.append(record.to_dict())
            yield TrialUpdate(number, (self._records[-1],))
        final = training.deliver()
        events = tuple(event.to_dict() for event in final.events)
        yield self._ended(TrialOutcome("finished", None, dict(final.metrics), final.epoch, self._seconds(), events))

    def failed(self, error: Exception) -> TrialUpdate:
        outcome = TrialOutcome.failed(self._reason(error), last_epoch(self._records), self._seconds())
        return self._ended(outcome)

    def _ended(self, outcome: TrialOutcome) -> TrialUpdate:
        leased = self._leased
        result = TrialResult(leased.number, leased.config, outcome, tuple(self._records))
        write_result(self._folder.result(leased.number), result)
        return TrialUpdate(leased.number, (), outcome)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TrialFailed):
            return error.reason
        path = self._folder.traceback(self._leased.number)
        write_text(path, "".join(traceback.format_exception(error)))
        first_line = str(error).strip().split("\n")[0]
        return f"{type(error).__name__}: {first_line} (where in the code: {path})"

    def _seconds(self) -> float:
        return self._seconds_before + perf_counter() - self._started


class _BuiltTraining:
    """The trainer of the build room."""

    def __init__(self, config: TrialConfig, folder: StudyFolder, number: int, device: str) -> None:
        import torch

        from neurosearch.build.trial import build_trainer

        self._folder = folder.trial(number)
        self._trainer = build_trainer(config, opened_data(config, folder), self._folder, torch.device(device))

    @property
    def history(self) -> list[EpochRecord]:
        return self._trainer.history

    def epochs(self) -> Iterator[EpochRecord]:
        return self._trainer.epochs()

    def deliver(self) -> EpochRecord:
        from neurosearch.build.final import save_final

        final = self._trainer.finish()
        save_final(self._folder, final.model, final.units)
        return final.record
