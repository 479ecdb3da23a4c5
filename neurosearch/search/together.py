"""The trials of a pack in one worker: each goes its own way, and all take their steps together.

Every trial runs as it would alone (`search.trial.trial_updates`), up to where it needs its next epoch. The first one
that does sets off that epoch for all; the others find theirs done. Knows nothing of Ray.
"""

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.trial import BuiltTraining, Training, TrialUpdate, trial_updates
from neurosearch.search.trial_files import TrialFiles
from neurosearch.training.records import EpochRecord

if TYPE_CHECKING:
    from neurosearch.training.trainer import Trainer


class PackedTraining(BuiltTraining):
    """A training whose epochs a pack trains.

    Attributes:
        folder: Of its checkpoints.
        clock: Of its trial.
    """

    def __init__(
        self, together: "Together", config: TrialConfig, study: StudyFolder, folder: Path, device: str
    ) -> None:
        """Makes the training. For the arguments after the first, see `search.trial.OpenTraining`."""
        super().__init__(config, study, folder, device)
        self.folder = folder
        self.clock = together.clock
        self._together = together
        self._told = list(self._trainer.history)  # the pack may be an epoch ahead of what the trial has asked for

    @property
    def history(self) -> list[EpochRecord]:
        """Records of all epochs done, as far as the trial has heard of them."""
        return self._told

    @property
    def trainer(self) -> "Trainer":
        """What trains it."""
        return self._trainer

    def epochs(self) -> Iterator[EpochRecord]:
        """Trains what is left, each epoch together with those of others."""
        self._trainer.prepare()
        try:
            while len(self._told) < self._trainer.settings.epochs:
                self._told.append(self._together.next_record(self))
                yield self._told[-1]
        finally:
            self._together.leave(self)


class TrialClock:
    """Tells the seconds that a trial of a pack has taken: its own, and its share of what all do together."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None

    def __call__(self) -> float:
        """Returns the seconds so far."""
        return self._seconds + (0.0 if self._since is None else perf_counter() - self._since)

    def charge(self, seconds: float) -> None:
        """Adds seconds, or takes some off."""
        self._seconds += seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Lets it run for the block, which is the trial's own."""
        self._since = perf_counter()
        try:
            yield
        finally:
            self._seconds, self._since = self(), None


class Together:
    """Opens trainings and lets them take their steps together, round by round; a `search.trial.OpenTraining`.

    Attributes:
        clock: Of the trial that is running.
    """

    def __init__(self) -> None:
        from neurosearch.training.pack import Pack

        self.clock = TrialClock()
        self._pack = Pack()
        self._members: list[PackedTraining] = []
        self._round: list[PackedTraining] = []  # those of the members that train in this round
        self._done: dict[PackedTraining, EpochRecord | Exception] = {}
        self._ahead: dict[Path, Training | Exception] = {}

    def __call__(self, config: TrialConfig, study: StudyFolder, folder: Path, device: str) -> Training:
        """Returns the training; one that cannot be packed trains alone."""
        known = self._ahead.pop(folder, None)
        if isinstance(known, Exception):
            raise known
        return known or self._opened(config, study, folder, device)

    def open_ahead(self, leased: LeasedTrial, study: StudyFolder, device: str) -> None:
        """Opens the first training of a trial that is about to run, so that it is in the next round from the start."""
        folder, files = study.training(leased.number, 0), TrialFiles(study, leased.number)
        try:
            if files.result() is not None:
                return
            files.bring_checkpoint(folder)
            config = TrialConfig.model_validate({**leased.config, "seed": leased.seeds[0]})
            self._ahead[folder] = self._opened(config, study, folder, device)
        except Exception as error:  # noqa: BLE001  # told where the trial itself opens it, and knows what it means
            self._ahead[folder] = error

    def begin_round(self) -> None:
        """Begins a round: every training that is open by now trains one epoch in it."""
        self._round = [each for each in self._members if not each.trainer.is_over]

    def next_record(self, member: PackedTraining) -> EpochRecord:
        """Returns the record of a training's next epoch.

        Raises:
            Exception: What it has ended with.
        """
        if member not in self._done:
            # One that was opened in the middle of a round trains its first epoch alone.
            together = [each for each in self._round if each not in self._done] if member in self._round else [member]
            self._train(together)
        result = self._done.pop(member)
        if member in self._round:
            self._round.remove(member)
        if isinstance(result, Exception):
            raise result
        return result

    def leave(self, member: PackedTraining) -> None:
        """Takes a training out."""
        self._members = [each for each in self._members if each is not member]
        self._round = [each for each in self._round if each is not member]
        self._done.pop(member, None)

    def leave_all_of(self, study: StudyFolder, number: int) -> None:
        """Takes all trainings of a trial out, those that were opened ahead included."""
        own = study.training(number, 0).parent
        self._ahead = {folder: training for folder, training in self._ahead.items() if folder.parent != own}
        for member in [each for each in self._members if each.folder.parent == own]:
            self.leave(member)

    def _opened(self, config: TrialConfig, study: StudyFolder, folder: Path, device: str) -> Training:
        from neurosearch.training.chain import NotPackable, check_packable

        training = PackedTraining(self, config, study, folder, device)
        try:
            check_packable(training.trainer)
        except NotPackable:
            return BuiltTraining(config, study, folder, device)
        self._members.append(training)
        return training

    def _train(self, members: Sequence[PackedTraining]) -> None:
        ready = []
        for member in members:
            try:
                member.trainer.prepare()
                ready.append(member)
            except Exception as error:  # noqa: BLE001  # told by the member's own trial
                self._done[member] = error
        if not ready:
            return
        started = perf_counter()
        try:
            results = self._pack.train_epoch([member.trainer for member in ready])
        except Exception as error:  # noqa: BLE001  # what stops the pack stops each of its members
            results = [error for _ in ready]
        self._done |= dict(zip(ready, results, strict=True))
        seconds = perf_counter() - started
        self.clock.charge(-seconds)  # of whoever set it off
        for member in ready:
            member.clock.charge(seconds / len(ready))


class PackRun:
    """Runs the trials of a pack, which may become fewer and more while it does."""

    def __init__(self, trials: Sequence[LeasedTrial], folder: StudyFolder, device: str, *, is_measured: bool) -> None:
        """Takes the trials.

        Args:
            trials: Those that begin it.
            folder: The study's.
            device: What torch calls the device.
            is_measured: Whether it is found out first if they are faster together; else all but the first are returned.
        """
        self._folder = folder
        self._device = device
        self._waiting = list(trials)
        self._running: dict[int, Generator[TrialUpdate, None, None]] = {}
        self._clocks: dict[int, TrialClock] = {}
        self._together = Together()
        self._is_measured = is_measured

    def hear(self, stopped: Collection[int], joining: Sequence[LeasedTrial]) -> None:
        """Takes in the word on what was told: who stops, and who comes in the places that are free."""
        for number in stopped:
            self._end(number)
        self._waiting += joining

    def rounds(self) -> Generator[tuple[TrialUpdate, ...], None, None]:
        """Yields what is new, after every epoch of all."""
        if self._is_measured:
            yield self._measured()
        while self._waiting or self._running:
            self._begin()
            self._together.begin_round()
            updates = []
            for number, running in list(self._running.items()):
                with self._timed(number):
                    update = next(running, None)
                if update is None:
                    self._end(number)
                else:
                    updates.append(update)
            yield tuple(updates)

    def _begin(self) -> None:
        for leased in self._waiting:
            clock = self._clocks[leased.number] = TrialClock()
            with self._timed(leased.number):
                self._together.open_ahead(leased, self._folder, self._device)
            self._running[leased.number] = trial_updates(leased, self._folder, self._device, self._together, clock)
        self._waiting = []

    @contextmanager
    def _timed(self, number: int) -> Iterator[None]:
        """Charges what is done in the block to a trial."""
        self._together.clock = self._clocks[number]
        with self._together.clock.running():
            yield

    def _end(self, number: int) -> None:
        running = self._running.pop(number, None)
        if running is not None:
            running.close()
        self._together.leave_all_of(self._folder, number)
        self._waiting = [leased for leased in self._waiting if leased.number != number]

    def _measured(self) -> tuple[TrialUpdate, ...]:
        from neurosearch.search.pack_choice import measured_choice

        first, *others = self._waiting
        choice = measured_choice(self._waiting, self._folder, self._device)
        told = TrialUpdate(first.number, choice=choice)
        if not choice or choice["together"]:
            return (told,)
        self._waiting = [first]
        return (told, *(TrialUpdate(leased.number, returned=True) for leased in others))
