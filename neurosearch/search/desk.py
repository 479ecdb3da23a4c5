"""The desk: hands out leases and takes in what comes back, whoever runs the trials.

It joins the study, the tracker and the listener. It lives in the driver process and is called from its one loop, so it
needs no locks; it knows nothing of Ray.

This file is longer than most: whatever happens to a trial, its one end is told from here.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.candidates import CandidateKeeper
from neurosearch.search.errors import RightLost, StorageLost
from neurosearch.search.keeping import Keeper
from neurosearch.search.lease import Lease, LeasedTrial
from neurosearch.search.outcome import TrialOutcome, TrialResult, cut_short, last_epoch, seconds_of, write_result
from neurosearch.search.packing import Packing
from neurosearch.search.room import Room, room_words
from neurosearch.search.seams import Listener, Tracker, TrialInfo, TrialSummary
from neurosearch.search.stored import StopRequest
from neurosearch.search.study import Study
from neurosearch.search.summaries import best_of, missing_group
from neurosearch.search.trial import TrialUpdate, disk_takes_no_more, disk_words
from neurosearch.search.watchdog import silence_words, unseen_silence_words

_POLL_SECONDS = 0.5  # between two looks at whether another process requested a stop
_LOSSES_OF_A_TRIAL = 3  # without an epoch in between: then it is the trial that kills its workers
_LOSSES_IN_A_ROW = 9  # over all trials, before any of them tells anything: then it is not the trials' fault


class Desk:
    """Hands out the trials of a study and takes in their updates.

    Attributes:
        halted: Why the study cannot go on; None if it can.
        finished: Whether no further lease will come.
    """

    def __init__(
        self,
        study: Study,
        tracker: Tracker,
        listener: Listener,
        describe: Callable[[TrialInfo], Mapping[str, str]],
        follow_up: Callable[[], Sequence[TrialInfo]],
        usual_room: Callable[[TrialInfo], Room] = lambda _: Room(0.0),
    ) -> None:
        """Opens the desk.

        Args:
            study: Held by this process.
            tracker: Is told everything.
            listener: Is told everything.
            describe: Returns a trial's tags, and makes ready what it needs; a ValueError fails the trial.
            follow_up: Returns more trials once all others have ended.
            usual_room: Returns what a trial runs in that has not run out of memory.
        """
        self.halted: str | None = None
        self.finished = False
        self._study = study
        self._tracker = tracker
        self._listener = listener
        self._describe = describe
        self._follow_up = follow_up
        self._running: dict[int, TrialInfo] = {}
        self._records: dict[int, dict[int, dict[str, Any]]] = {}  # of running trials, by number and epoch
        self._best = study.stored.best()
        self._follow_ups: deque[TrialInfo] | None = None  # None before the search itself is over
        self._again: deque[TrialInfo] = deque()  # their worker was lost, or they need more room
        self._awaited: set[int] = set()  # handed out into more room, and not heard of yet
        self._heard: dict[int, float] = {}  # when a running trial last said something
        self._losses: dict[int, int] = {}  # of a trial's workers, without an epoch in between
        self._stopping: StopRequest | None = None
        self._told_stopping = False
        self._polled = 0.0
        self._lost_in_a_row = 0
        self._usual_room = usual_room
        self._rooms: dict[int, Room] = {}  # of running trials
        self._packing = Packing(study)
        self._alone: set[int] = set()  # trials that were in a pack whose worker died
        self._keeper = Keeper(study.stored.folder, study.config.study.search)
        self._keeper.ended(study.stored.trials())  # an earlier process may have died before it did this
        self._candidates: CandidateKeeper | None = None
        if study.config.study.search.candidates == "at_rest":
            self._candidates = CandidateKeeper(study.stored.folder, study.config.study)
            for each in study.stored.trials():
                self._candidates.ended(each, study.stored.reports(each.number))

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickles to nothing: Ray Tune pickles all it is given, and restores nothing of ours."""
        return object, ()

    @property
    def stopping(self) -> StopRequest | None:
        """Whether no new trial may start and running ones shall stop: at the end of their epoch, or now."""
        now = time.monotonic()
        if self._stopping != "now" and now - self._polled >= _POLL_SECONDS:
            self._polled = now
            try:
                self._stopping = self._study.stored.stop_requested or self._stopping
            except StorageLost as error:
                self._halt_on(error)
        if self._stopping is not None and not self._told_stopping:  # not where it is set: that may be a signal handler
            self._told_stopping = True
            self._listener.on_stopping()
        return self._stopping

    def stop(self) -> None:
        """Lets running trials stop at the end of their epoch, and starts no new one."""
        self._stopping = self._stopping or "soon"

    def next_lease(self) -> Lease | None:
        """Returns a lease; None when there is nothing to hand out now, and with `finished` set, nothing ever."""
        trial = self._next_trial_or_halt()
        if trial is None:
            self.finished = self._stopping is not None or (self._follow_ups is not None and not self._running)
            return None
        leased, room = self._handed_out(trial)
        key = self._packing.key(trial) if self._may_be_packed(trial.number) else None
        others = () if key is None else self._alike(key, self._packing.size(key) - 1, room)
        is_measured = key is not None and bool(others) and self._packing.begin(key)
        # One process for all: what each needs is mostly what the process itself takes.
        room = replace(room, memory=max(self._rooms[each.number].memory for each in (leased, *others)))
        silence_seconds = self._study.config.study.search.silence_seconds
        folder = self._study.stored.folder.with_data_of(trial.config)
        return Lease(folder, (leased, *others), room, silence_seconds, is_measured)

    def joining(self, lease: Lease) -> tuple[LeasedTrial, ...]:
        """Returns the trials that come into a pack's free places.

        Args:
            lease: The pack as it is now, with those of its trials that go on.
        """
        trial = self._running[lease.trials[0].number]
        key = self._packing.key(trial)
        if key is None or self.stopping is not None:
            return ()
        return self._alike(key, self._packing.size(key) - len(lease.trials), lease.room)

    def take(self, update: TrialUpdate) -> bool:
        """Takes in what is new of a running trial; returns whether it shall stop here."""
        if update.number not in self._running:  # it was lost, and a late word of it came after
            return True
        self._lost_in_a_row = 0
        self._heard[update.number] = time.monotonic()
        self._awaited.discard(update.number)
        try:
            return self._take(update) or self.stopping is not None
        except (OSError, StorageLost) as error:
            self._halt_on(error)
            return True

    def lose_pack(self, numbers: Sequence[int], reason: str) -> None:
        """Takes in that the worker of a pack died: each of its trials is run again, alone, where it answers for itself.

        Args:
            numbers: The trials.
            reason: What is known of the death, in words.
        """
        for number in [each for each in numbers if each in self._running]:
            self._study.stored.folder.stacks(number).unlink(missing_ok=True)
            self._alone.add(number)
            self._packing.unmeasured(self._packing.key(self._running[number]) or "")
            self._give_back(number)
        self._lost_in_a_row += 1
        self._check_losses(reason)

    def lose(self, number: int, reason: str) -> None:
        """Takes in that a running trial's worker died: it is run again from its checkpoint, unless it died before.

        A trial that loses several workers without ending an epoch in between fails: it is the one that kills them. So
        does one that hung, at once: to hang again would take as long.

        Args:
            number: The trial.
            reason: What is known of the death, in words.
        """
        trial = self._running.get(number)
        if trial is None:
            return
        self._awaited.discard(number)
        silence = silence_words(self._study.stored.folder.stacks(number)) or self._silence_elsewhere(number)
        if silence is not None:
            self._fail(number, silence, self._study.config.study.search.silence_seconds or 0.0)
            return
        self._lost_in_a_row += 1
        self._losses[number] = self._losses.get(number, 0) + 1
        if self._check_losses(reason):
            return  # this trial goes on when the study does
        if self._losses[number] < _LOSSES_OF_A_TRIAL:
            self._give_back(number)
        else:
            self._fail(number, reason)

    def _silence_elsewhere(self, number: int) -> str | None:
        """Returns why a worker is dead whose node alone has what its watchdog wrote, by the time that it was silent."""
        heard, longest = self._heard.get(number), self._study.config.study.search.silence_seconds
        if self._study.stored.folder.artifacts is None or heard is None or longest is None:
            return None
        return unseen_silence_words() if time.monotonic() - heard >= longest else None

    def _check_losses(self, reason: str) -> bool:
        """Halts the study where worker after worker has died; returns whether it did."""
        if self._lost_in_a_row < _LOSSES_IN_A_ROW:
            return False
        self._halt(
            f"{self._lost_in_a_row} workers in a row died before they told anything, the last one so: {reason}. "
            f"Look into {self._study.stored.folder.logs}, mend it, then go on with "
            f"`{self._study.stored.folder.command('resume')}`."
        )
        return True

    def _give_back(self, number: int) -> None:
        """Lets a running trial be handed out again."""
        self._rooms.pop(number)
        self._again.append(self._running.pop(number))

    def _handed_out(self, trial: TrialInfo) -> tuple[LeasedTrial, Room]:
        """Starts a trial; returns it as a worker sees it, and what it runs in."""
        self._start(trial)
        halving = self._study.halving if trial.role == "search" else None
        levels = halving.levels if halving else ()
        candidates = self._candidates is not None and trial.role == "search"
        leased = LeasedTrial(trial.number, trial.role, dict(trial.config), trial.seeds, levels, candidates)
        enlarged = self._study.enlarged_room(trial.number)
        if enlarged is not None:
            self._awaited.add(trial.number)
        room = self._rooms[trial.number] = enlarged or self._usual_room(trial)
        return leased, room

    def _may_be_packed(self, number: int) -> bool:
        return number not in self._alone and self._study.enlarged_room(number) is None

    def _alike(self, key: str, count: int, room: Room) -> tuple[LeasedTrial, ...]:
        """Starts up to so many more trials that can take their steps together; others that were asked for wait."""
        found: list[LeasedTrial] = []
        others: list[TrialInfo] = []
        while len(found) < count and len(others) < count and (trial := self._next_trial_or_halt()) is not None:
            is_alike = self._packing.key(trial) == key and self._usual_room(trial).gpus == room.gpus
            if is_alike and self._may_be_packed(trial.number):
                found.append(self._handed_out(trial)[0])
            else:
                others.append(trial)
        self._again.extend(others)
        return tuple(found)

    def _next_trial_or_halt(self) -> TrialInfo | None:
        """Returns the next trial; None where there is none now, or where the study must halt."""
        try:
            return self._next_trial()
        except (OSError, StorageLost) as error:
            self._halt_on(error)
            return None

    def _fail(self, number: int, reason: str, silence_seconds: float = 0.0) -> None:
        try:
            self._end(number, self._failed(number, reason, silence_seconds))
        except (OSError, StorageLost) as error:
            self._halt_on(error)

    def _failed(self, number: int, reason: str, silence_seconds: float = 0.0) -> TrialOutcome:
        """Returns the outcome of a trial that tells none; what it took counts against the budget all the same."""
        records = self._known_records(number)
        return TrialOutcome.failed(reason, last_epoch(records), seconds_of(records) + silence_seconds)

    def _next_trial(self) -> TrialInfo | None:
        while self.stopping is None:
            trial = self._asked()
            if trial is None:
                return None
            try:
                return replace(trial, tags=self._describe(trial))
            except ValueError as error:  # its data cannot be used, say
                self._start(trial)
                self._end(trial.number, TrialOutcome.failed(str(error)))
        return None

    def _asked(self) -> TrialInfo | None:
        # Others would take the room that a trial waits for, again and again.
        if self._awaited or any(room.alone for room in self._rooms.values()):
            return None
        trial = self._again.popleft() if self._again else self._new()
        if trial is not None and self._running:
            enlarged = self._study.enlarged_room(trial.number)
            if enlarged is not None and enlarged.alone:
                self._again.appendleft(trial)
                return None
        return trial

    def _new(self) -> TrialInfo | None:
        if self._follow_ups is None:
            trial = self._study.ask()
            if trial is not None or self._running:
                return trial
            self._follow_ups = deque(self._follow_up())
        return self._follow_ups.popleft() if self._follow_ups else None

    def _start(self, trial: TrialInfo) -> None:
        self._running[trial.number] = trial
        self._heard.pop(trial.number, None)
        self._records.setdefault(trial.number, {})
        self._tracker.start_trial(trial)
        self._listener.on_trial_started(trial)

    def _take(self, update: TrialUpdate) -> bool:
        number = update.number
        if update.records:
            known = self._records[number]
            if any(record["epoch"] not in known for record in update.records):
                self._losses.pop(number, None)
            known.update({record["epoch"]: record for record in update.records})
            self._study.report(number, update.records)
            self._tracker.log(number, update.records)
            self._listener.on_records(number, update.records)
        if update.halt is not None:
            self._halt(update.halt)
        if update.choice is not None:
            self._keep_choice(number, update.choice)
        if update.returned:
            self._give_back(number)
            return True
        if update.shortage is not None:
            self._make_room(number, update.shortage)
            return True
        if update.outcome is not None:
            self._end(number, update.outcome)
            return False
        return self._is_stopped(update)

    def _is_stopped(self, update: TrialUpdate) -> bool:
        """Ends a trial that would go on in vain: beaten by others, or without what it is to be judged by."""
        number = update.number
        reason = missing_group(update.records, self._study.config.study)
        if reason is not None:
            self._fail(number, reason)
        elif update.waits:
            verdict = self._study.verdict(number, update.per_seed)
            if verdict.stop:
                self._end(number, cut_short(self._known_records(number), verdict.reason, update.per_seed))
            return verdict.stop
        return reason is not None

    def _keep_choice(self, number: int, choice: Mapping[str, Any]) -> None:
        key = self._packing.key(self._running[number])
        assert key is not None
        if choice:
            self._study.keep_pack_choice(key, choice)
        else:
            self._packing.unmeasured(key)

    def _make_room(self, number: int, shortage: str) -> None:
        """Tries a trial that ran out of memory once more in a larger room, from its checkpoint; then it fails."""
        room = self._rooms.pop(number)
        tried = "" if self._study.enlarged_room(number) is None else f" This was its second try, {room_words(room)}."
        if self._study.enlarge(number, room) is not None:
            self._again.append(self._running.pop(number))
            return
        self._end(number, self._failed(number, shortage + tried))

    def _end(self, number: int, outcome: TrialOutcome) -> None:
        if outcome.state != "finished":
            self._keep(number, outcome)
        self._study.set_run_ids(self._tracker.run_ids(), self._tracker.study_run_id)
        summary = self._study.tell(number, outcome)
        if summary.state == "failed" and summary.reason != outcome.reason:  # the study could not use the result
            outcome = TrialOutcome.failed(str(summary.reason), outcome.epochs, outcome.seconds)
        self._keeper.ended([summary])
        if self._candidates is not None:
            self._candidates.ended(summary, self._study.stored.reports(number))
        del self._running[number], self._records[number]
        self._losses.pop(number, None)
        self._rooms.pop(number, None)
        self._best = self._best_with(summary)
        self._tracker.end_trial(number, outcome, feasible=summary.state == "finished")
        self._listener.on_trial_finished(summary, self._best)

    def _best_with(self, trial: TrialSummary) -> TrialSummary | None:
        """Returns the best trial, now that this one has ended; the study is asked where not only its search counts."""
        if trial.role != "search" or (self._best is not None and self._best.role != "search"):
            return self._study.stored.best()
        return best_of([each for each in (self._best, trial) if each], self._study.config.study.search.objectives[0])

    def _keep(self, number: int, outcome: TrialOutcome) -> None:
        """Writes the result of a trial whose worker may not have lived to write it."""
        path, artifacts = self._study.stored.folder.result(number), artifacts_of(self._study.stored.folder)
        if not artifacts.fetch(path):
            records = tuple(self._known_records(number))
            write_result(path, TrialResult(number, dict(self._running[number].config), outcome, records))
            artifacts.keep(path)

    def _known_records(self, number: int) -> list[dict[str, Any]]:
        return [record for _, record in sorted(self._records[number].items())]

    def _halt_on(self, error: OSError | StorageLost) -> None:
        if isinstance(error, StorageLost):
            self._halt(str(error), "now" if isinstance(error, RightLost) else "soon")
            return
        if not disk_takes_no_more(error):
            raise error
        self._halt(disk_words(error, self._study.stored.folder))

    def _halt(self, reason: str, how: StopRequest = "soon") -> None:
        self.halted = self.halted or reason
        self._stopping = "now" if how == "now" else self._stopping or "soon"
