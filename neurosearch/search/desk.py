"""The desk: hands out leases and takes in what comes back, whoever runs the trials.

It joins the study, the tracker and the listener. It lives in the driver process and is called from its one loop, so it
needs no locks; it knows nothing of Ray.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from neurosearch.search.lease import Lease, LeasedTrial
from neurosearch.search.outcome import TrialOutcome, TrialResult, last_epoch, write_result
from neurosearch.search.seams import Listener, Tracker, TrialInfo
from neurosearch.search.study import Study
from neurosearch.search.summaries import best_of
from neurosearch.search.trial import TrialUpdate, disk_takes_no_more, disk_words

_POLL_SECONDS = 0.5  # between two looks at whether another process requested a stop
_LOSSES_IN_A_ROW = 3  # workers that die before they tell anything: then it is not the trials' fault


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
        follow_up: Callable[[], TrialInfo | None],
    ) -> None:
        """Opens the desk.

        Args:
            study: Held by this process.
            tracker: Is told everything.
            listener: Is told everything.
            describe: Returns a trial's tags, and makes ready what it needs; a ValueError fails the trial.
            follow_up: Returns one more trial once all others have ended, or None.
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
        self._searched = False
        self._followed_up = False
        self._stopping = False
        self._polled = 0.0
        self._losses = 0

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickles to nothing: Ray Tune pickles all it is given, and restores nothing of ours."""
        return object, ()

    @property
    def stopping(self) -> bool:
        """Whether running trials shall stop at the end of their epoch and no new one may start."""
        now = time.monotonic()
        if not self._stopping and now - self._polled >= _POLL_SECONDS:
            self._polled = now
            self._stopping = self._study.stored.stop_requested
        return self._stopping

    def stop(self) -> None:
        """Lets running trials stop at the end of their epoch, and starts no new one."""
        self._stopping = True

    def next_lease(self) -> Lease | None:
        """Returns a lease; None when there is nothing to hand out now, and with `finished` set, nothing ever."""
        try:
            trial = self._next_trial()
        except OSError as error:
            self._halt_on(error)
            trial = None
        if trial is None:
            self.finished = self._stopping or (self._followed_up and not self._running)
            return None
        self._start(trial)
        leased = LeasedTrial(trial.number, trial.role, dict(trial.config))
        return Lease(str(self._study.stored.folder.path), (leased,))

    def take(self, update: TrialUpdate) -> None:
        """Takes in what is new of a running trial."""
        if update.number not in self._running:  # it was lost, and a late word of it came after
            return
        self._losses = 0
        try:
            self._take(update)
        except OSError as error:
            self._halt_on(error)

    def lose(self, number: int, reason: str) -> None:
        """Takes in that a running trial's worker died.

        Args:
            number: The trial.
            reason: What is known of the death, in words.
        """
        if number not in self._running:
            return
        self._losses += 1
        if self._losses >= _LOSSES_IN_A_ROW:
            self._halt(
                f"{self._losses} workers in a row died before they told anything, the last one so: {reason}. "
                f"Look into {self._study.stored.folder.logs}, mend it, then go on with "
                f"`{self._study.stored.folder.command('resume')}`."
            )
            return  # this trial goes on then
        records = self._known_records(number)
        try:
            self._end(number, TrialOutcome.failed(reason, last_epoch(records)))
        except OSError as error:
            self._halt_on(error)

    def _next_trial(self) -> TrialInfo | None:
        while not self.stopping:
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
        if not self._searched:
            trial = self._study.ask()
            if trial is not None:
                return trial
            self._searched = True
        if self._running or self._followed_up:
            return None
        self._followed_up = True
        return self._follow_up()

    def _start(self, trial: TrialInfo) -> None:
        self._running[trial.number] = trial
        self._records[trial.number] = {}
        self._tracker.start_trial(trial)
        self._listener.on_trial_started(trial)

    def _take(self, update: TrialUpdate) -> None:
        number = update.number
        if update.records:
            self._records[number].update({record["epoch"]: record for record in update.records})
            self._study.report(number, update.records)
            self._tracker.log(number, update.records)
            self._listener.on_records(number, update.records)
        if update.halt is not None:
            self._halt(update.halt)
        if update.outcome is not None:
            self._end(number, update.outcome)

    def _end(self, number: int, outcome: TrialOutcome) -> None:
        if outcome.state == "failed":
            self._keep(number, outcome)
        self._study.set_run_ids(self._tracker.run_ids(), self._tracker.study_run_id)
        summary = self._study.tell(number, outcome)
        if summary.state == "failed" and summary.reason != outcome.reason:  # the study could not use the result
            outcome = TrialOutcome.failed(str(summary.reason), outcome.epochs, outcome.seconds)
        del self._running[number], self._records[number]
        self._best = best_of(
            [each for each in (self._best, summary) if each], self._study.config.study.search.objectives[0]
        )
        self._tracker.end_trial(number, outcome, feasible=summary.state == "finished")
        self._listener.on_trial_finished(summary, self._best)

    def _keep(self, number: int, outcome: TrialOutcome) -> None:
        """Writes the result of a trial whose worker may not have lived to write it."""
        path = self._study.stored.folder.result(number)
        if not path.exists():
            records = tuple(self._known_records(number))
            write_result(path, TrialResult(number, dict(self._running[number].config), outcome, records))

    def _known_records(self, number: int) -> list[dict[str, Any]]:
        return [record for _, record in sorted(self._records[number].items())]

    def _halt_on(self, error: OSError) -> None:
        if not disk_takes_no_more(error):
            raise error
        self._halt(disk_words(error, self._study.stored.folder))

    def _halt(self, reason: str) -> None:
        self.halted = self.halted or reason
        self.stop()
