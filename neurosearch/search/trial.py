"""What one trial runs: a training on each of its seeds, told epoch by epoch and to its end. Knows nothing of Ray.

Where others may be found better, at a rung or between two seeds, the trial waits for a word: so a decision falls at its
epoch exactly, and none is trained in vain.

A trial never ends the study by an error of its own: whatever goes wrong becomes its failed outcome. Only a disk that
takes no more is everybody's trouble: then the trial stops without an end, and goes on when the study is resumed.
"""

import errno
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from neurosearch import names
from neurosearch.config.trial import TrialConfig
from neurosearch.search.candidates import candidate_file, keep_candidate
from neurosearch.search.data_cache import opened_data
from neurosearch.search.early_stopping import last_judged_epoch, may_be_judged
from neurosearch.search.errors import StorageLost
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.outcome import (
    TrialOutcome,
    TrialResult,
    last_epoch,
    mean_metrics,
)
from neurosearch.search.trial_files import TrialFiles
from neurosearch.training.memory import is_out_of_memory, shortage_words
from neurosearch.training.records import EpochRecord, TrialFailed

if TYPE_CHECKING:
    from neurosearch.training.distributed import Ranks

_DISK_TAKES_NO_MORE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class TrialUpdate:
    """What is new of a trial.

    Attributes:
        number: The study's number of the trial.
        records: New epoch records, as dicts; after a resume also those of before. Their epochs count on over the seeds.
        per_seed: Metrics of the final network of each seed trained to its end so far.
        waits: Whether the trial goes on only when it is told to.
        shortage: Why it ran out of memory, in words; None if it did not. It stops without an end then.
        outcome: How it ended; None while it goes on.
        halt: Why the whole study cannot go on; None if it can.
        returned: Whether the trial is given back, not begun or up to its last checkpoint, to be handed out again.
        choice: What was measured of trials of its kind, together and alone; empty where nothing could be, None where
            nothing was to be.
    """

    number: int
    records: tuple[dict[str, Any], ...] = ()
    per_seed: tuple[dict[str, float], ...] = ()
    waits: bool = False
    shortage: str | None = None
    outcome: TrialOutcome | None = None
    halt: str | None = None
    returned: bool = False
    choice: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "number": self.number,
            "records": list(self.records),
            "per_seed": list(self.per_seed),
            "waits": self.waits,
            "shortage": self.shortage,
            "outcome": self.outcome.to_dict() if self.outcome else None,
            "halt": self.halt,
            "returned": self.returned,
            "choice": self.choice,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialUpdate":
        """Rebuilds an update from `to_dict`."""
        outcome = TrialOutcome.from_dict(values["outcome"]) if values["outcome"] else None
        lists = {name: tuple(values[name]) for name in ("records", "per_seed")}
        return cls(**{**values, **lists, "outcome": outcome})


class Training(Protocol):
    """A training as a trial needs it."""

    @property
    def history(self) -> list[EpochRecord]:
        """Records of all epochs done, those before a resume included."""

    def epochs(self) -> Iterator[EpochRecord]:
        """Trains what is left, epoch by epoch."""

    def kept(self, record: EpochRecord) -> str | None:
        """Returns the name of the file that holds the state after a record; None where none was written."""

    def deliver(self) -> EpochRecord:
        """Makes the network final after the last epoch, keeps it, and returns its record."""


class OpenTraining(Protocol):
    """Makes a trial's training, or opens the one that was begun."""

    def __call__(self, config: TrialConfig, study: StudyFolder, folder: Path, device: str) -> Training:
        """Returns the training.

        Args:
            config: The trial's config, with the seed to train on.
            study: Where the study and its data lie.
            folder: Of the training's checkpoints.
            device: What torch calls the device to train on.
        """


def open_training(config: TrialConfig, study: StudyFolder, folder: Path, device: str) -> Training:
    """Opens the training that the build room makes of the config."""
    return BuiltTraining(config, study, folder, device)


def trial_updates(
    leased: LeasedTrial,
    folder: StudyFolder,
    device: str,
    opened: OpenTraining = open_training,
    clock: Callable[[], float] | None = None,
) -> Generator[TrialUpdate, None, None]:
    """Runs a trial, or goes on with it; yields an update after each epoch, and at last one with the outcome.

    A trial that ran out of memory has no outcome yet: whoever handed it out says whether it is tried again.

    Args:
        leased: The trial.
        folder: The study's.
        device: What torch calls the device to train on, such as `cpu` or `cuda`.
        opened: Makes the training.
        clock: Tells the seconds that the trial has taken; None where they are those that pass.
    """
    started = perf_counter()
    clock = clock or (lambda: perf_counter() - started)
    files = TrialFiles(folder, leased.number)
    try:
        yield from _updates(_TrialRun(leased, folder, files, clock), files, device, opened)
    except StorageLost as error:
        yield TrialUpdate(leased.number, halt=str(error))
    except OSError as error:
        if not disk_takes_no_more(error):
            raise
        yield TrialUpdate(leased.number, halt=disk_words(error, folder))
    finally:
        files.close()


def _updates(run: "_TrialRun", files: TrialFiles, device: str, opened: OpenTraining) -> Iterator[TrialUpdate]:
    done = files.result()
    if done is not None:  # it ended, and the process that searches died before it heard of it
        yield TrialUpdate(run.number, done.records, done.outcome.per_seed, outcome=done.outcome)
        return
    try:
        yield from run.updates(opened, device)
        return
    except Exception as error:  # the one place where any error of a trial becomes its outcome
        if disk_takes_no_more(error) or isinstance(error, StorageLost):
            raise
        last = run.short(error) if is_out_of_memory(error) else run.failed(error)
    yield last  # out here, where the error and all that its frames hold have gone


def merged(updates: Iterable[TrialUpdate]) -> list[TrialUpdate]:
    """Returns the same news in one update for each trial, in the order of their first."""
    found: dict[int, TrialUpdate] = {}
    for each in updates:
        before = found.get(each.number, TrialUpdate(each.number))
        found[each.number] = TrialUpdate(
            each.number,
            before.records + each.records,
            each.per_seed or before.per_seed,
            before.waits or each.waits,
            before.shortage or each.shortage,
            before.outcome or each.outcome,
            before.halt or each.halt,
            before.returned or each.returned,
            each.choice if before.choice is None else before.choice,
        )
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
    """A trial that runs: its records and finished seeds so far."""

    def __init__(self, leased: LeasedTrial, folder: StudyFolder, files: TrialFiles, clock: Callable[[], float]) -> None:
        self.number = leased.number
        self._leased = leased
        self._folder = folder
        self._files = files
        self._records: list[dict[str, Any]] = []
        self._per_seed: list[dict[str, float]] = []
        self._final_events: list[dict[str, Any]] = []
        self._clock = clock
        self._seconds_before = 0.0
        self._rung = 0  # the next one

    def updates(self, opened: OpenTraining, device: str) -> Iterator[TrialUpdate]:
        number = self._leased.number
        for index, seed in enumerate(self._leased.seeds):
            config = TrialConfig.model_validate({**self._leased.config, "seed": seed})
            folder = self._folder.training(number, index)
            self._files.bring_checkpoint(folder)
            yield from self._of_seed(index, folder, opened(config, self._folder, folder, device))
            if index + 1 < len(self._leased.seeds):
                yield TrialUpdate(number, per_seed=tuple(self._per_seed), waits=True)
        metrics, epochs = mean_metrics(self._per_seed), last_epoch(self._records)
        events, per_seed = tuple(self._final_events), tuple(self._per_seed)
        yield self._ended(TrialOutcome("finished", None, metrics, epochs, self._seconds(), events, per_seed))

    def short(self, error: Exception) -> TrialUpdate:
        reason = error.reason if isinstance(error, TrialFailed) else shortage_words(error, None)
        return TrialUpdate(self._leased.number, shortage=reason)

    def failed(self, error: Exception) -> TrialUpdate:
        outcome = TrialOutcome.failed(self._reason(error), last_epoch(self._records), self._seconds())
        return self._ended(outcome)

    def _of_seed(self, index: int, folder: Path, training: Training) -> Iterator[TrialUpdate]:
        number, epochs_before = self._leased.number, last_epoch(self._records)
        epochs = self._leased.config["training"]["epochs"]
        last = last_judged_epoch(epochs, len(self._leased.seeds))

        def noted(record: EpochRecord) -> dict[str, Any]:
            checkpoint = training.kept(record)
            if checkpoint is not None:
                self._keep_state(folder, checkpoint, record)
            own = {"epoch": epochs_before + record.epoch, "seed_index": index, "checkpoint": checkpoint}
            self._records.append({**record.to_dict(), **own})
            return self._records[-1]

        if training.history:
            # Whether it may go on from here is asked again: the answer to the last wait may have been lost.
            waits = [index == 0 and self._waits(record, last) for record in training.history]
            known = tuple(noted(record) for record in training.history)
            self._files.settle()
            self._seconds_before += sum(record["metrics"].get(names.EPOCH_SECONDS, 0.0) for record in known)
            yield TrialUpdate(number, known, waits=any(waits) and len(known) < epochs)
        for record in training.epochs():
            told, is_waiting = noted(record), index == 0 and self._waits(record, last)
            if is_waiting:
                self._files.settle()  # it may be stopped here, and what it leaves be removed
            yield TrialUpdate(number, (told,), waits=is_waiting)
        final = training.deliver()
        self._files.keep_network(folder)
        self._per_seed.append(dict(final.metrics))
        self._final_events += [event.to_dict() for event in final.events]

    def _keep_state(self, folder: Path, checkpoint: str, record: EpochRecord) -> None:
        """Keeps the state after an epoch; a candidate goes first, for nobody asks for it once the state is kept."""
        if self._leased.candidates and record.at_rest:
            keep_candidate(folder, checkpoint, record.epoch)
        self._files.send(candidate_file(folder, record.epoch), folder / checkpoint)

    def _waits(self, record: EpochRecord, last_epoch: int) -> bool:
        """Tells whether a record is the first that is judged at a rung; looks out for the rungs above then."""
        first, levels = self._rung, self._leased.levels
        cost = record.metrics.get(names.TRAINING_MULTIPLY_ADDS, 0.0)
        judged = may_be_judged(record.at_rest, record.epoch, [event.to_dict() for event in record.events])
        while judged and self._rung < len(levels) and cost >= levels[self._rung]:
            self._rung += 1
        return self._rung > first and record.epoch <= last_epoch

    def _ended(self, outcome: TrialOutcome) -> TrialUpdate:
        leased = self._leased
        result = TrialResult(leased.number, leased.config, outcome, tuple(self._records))
        self._files.keep_result(result)
        return TrialUpdate(leased.number, per_seed=outcome.per_seed, outcome=outcome)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TrialFailed):
            return error.reason
        path = self._files.keep_traceback("".join(traceback.format_exception(error)))
        first_line = str(error).strip().split("\n")[0]
        return f"{type(error).__name__}: {first_line} (where in the code: {path})"

    def _seconds(self) -> float:
        return self._seconds_before + self._clock()


class BuiltTraining:
    """The trainer of the build room, as a `Training`."""

    def __init__(
        self, config: TrialConfig, study: StudyFolder, folder: Path, device: str, ranks: "Ranks | None" = None
    ) -> None:
        """Makes the trainer.

        Args:
            config: What to train.
            study: Where the study and its data lie.
            folder: Of the training's checkpoints.
            device: What torch calls the device.
            ranks: The processes that train together; None for this one alone. Only the first one writes.
        """
        import torch

        from neurosearch.build.trial import build_trainer

        self._folder = folder
        self._writes = ranks is None or ranks.rank == 0
        self._trainer = build_trainer(config, opened_data(config, study), folder, torch.device(device), ranks)

    @property
    def history(self) -> list[EpochRecord]:
        """Records of all epochs done."""
        return self._trainer.history

    def epochs(self) -> Iterator[EpochRecord]:
        """Trains what is left."""
        return self._trainer.epochs()

    def kept(self, record: EpochRecord) -> str | None:
        """Returns the name of the record's checkpoint."""
        from neurosearch.training.checkpoint import checkpoint_name

        return checkpoint_name(record.epoch) if self._trainer.settings.is_checkpointed(record.epoch) else None

    def deliver(self) -> EpochRecord:
        """Makes the network final and writes it."""
        from neurosearch.build.final import save_final

        final = self._trainer.finish()
        if self._writes:
            save_final(self._folder, final.model, final.units)
        return final.record
