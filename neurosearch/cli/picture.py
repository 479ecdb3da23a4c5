"""What a search tells its listener, gathered to what a screen shows."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from neurosearch.cli.bars import work_words
from neurosearch.cli.screen import Known, Screen, State, screen_of
from neurosearch.config.load import StudyConfig
from neurosearch.longwork import Work
from neurosearch.search.folders import StudyFolder
from neurosearch.search.reports import Reports, StoredReport
from neurosearch.search.seams import Record, TrialInfo, TrialSummary
from neurosearch.search.stored import StoredStudy

_MOST_NOTES = 5


class Picture:
    """A listener that can be looked at from another thread."""

    def __init__(self, study: StudyConfig, folder: StudyFolder, before: StoredStudy | None = None) -> None:
        """Begins a picture.

        Args:
            study: What is searched.
            folder: Where it lies, as it is shown.
            before: The study as earlier processes left it, if it is resumed.
        """
        self._study = study.study
        self._folder = folder
        self._lock = threading.Lock()
        self._state: State = "starting"
        self._trials = {trial.number: trial for trial in before.trials()} if before else {}
        self._made = Reports(study.study)
        self._reports: dict[int, list[StoredReport]] = {}
        for number in self._trials if before else ():
            self._add(number, before.reports(number) if before else ())
        self._best = before.best() if before else None
        self._seconds_before = before.seconds_used if before else 0.0
        self._began = time.monotonic()
        self._notes: list[str] = []
        self._work: dict[int, Work] = {}

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Shows it as running; one that is known goes on."""
        with self._lock:
            if self._state == "starting":
                self._state = "searching"
            self._trials.setdefault(trial.number, _begun(trial, time.time()))

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Adds to the course of a trial."""
        with self._lock:
            self._add(number, self._made.new(number, records))
            epochs = max(record["epoch"] for record in records)
            trial = self._trials[number]
            self._trials[number] = replace(trial, epochs=max(trial.epochs, epochs))

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Counts it."""
        with self._lock:
            self._trials[trial.number] = trial
            self._best = best
            if self._study.search.candidates == "final":
                self._reports.pop(trial.number, None)  # of ended trials nothing but epochs at rest is shown

    def on_stopping(self) -> None:
        """Shows that the search is about to stop."""
        with self._lock:
            self._state = "stopping"

    def on_work(self, work: Work) -> None:
        """Shows long work while it goes on."""
        with self._lock:
            self._work[work.key] = work
            if work.is_over:
                del self._work[work.key]

    def note(self, text: str) -> None:
        """Shows what went wrong beside the trials."""
        with self._lock:
            self._notes = [*self._notes, text][-_MOST_NOTES:]

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong beside the trials, the oldest first."""
        return tuple(self._notes)

    def look(self) -> Screen:
        """Returns what there is to see now."""
        with self._lock:
            known = Known(
                folder=self._folder,
                study=self._study,
                state=self._state,
                trials=tuple(trial for _, trial in sorted(self._trials.items())),
                reports={number: tuple(reports) for number, reports in self._reports.items()},
                best=self._best,
                seconds=self._seconds_before + time.monotonic() - self._began,
                notes=tuple(self._notes),
                work=tuple(work_words(work) for work in self._work.values()),
                now=time.time(),
                is_own=True,
            )
        return screen_of(known)

    def _add(self, number: int, reports: Sequence[StoredReport]) -> None:
        self._made.add(number, reports)
        self._reports.setdefault(number, []).extend(reports)


def stored_picture(study: StoredStudy, searched: Callable[[StoredStudy], bool]) -> Screen:
    """Returns what the storage of a study lets another process see.

    Args:
        study: The study.
        searched: Tells whether a living process searches it.
    """
    fields, trials = study.config.study, study.trials()
    at_rest = fields.search.candidates == "at_rest"
    shown = [trial.number for trial in trials if at_rest or trial.state == "running"]
    is_searched, now = searched(study), time.time()
    return screen_of(
        Known(
            folder=study.folder,
            study=fields,
            state=_stored_state(study, trials, is_searched=is_searched),
            trials=trials,
            reports={number: study.reports(number) for number in shown},
            best=study.best(),
            seconds=study.seconds_used + (_unwritten_seconds(trials, study.began, now) if is_searched else 0.0),
            notes=(),
            work=(),
            now=now,
            is_own=False,
        )
    )


def _unwritten_seconds(trials: Sequence[TrialSummary], began: float | None, now: float) -> float:
    """Returns the seconds since anything last happened: a search writes down its time when a trial ends.

    A search that goes on after a pause has begun anew, though its running trials started before.
    """
    moments = [began, *(moment for trial in trials for moment in (trial.started, trial.ended))]
    return max(now - max((moment for moment in moments if moment is not None), default=now), 0.0)


def _stored_state(study: StoredStudy, trials: Sequence[TrialSummary], *, is_searched: bool) -> State:
    if is_searched:
        return "stopping" if study.stop_requested else "searching" if trials else "starting"
    return "stopped" if study.is_unfinished else "complete"


def _begun(trial: TrialInfo, now: float) -> TrialSummary:
    return TrialSummary(
        number=trial.number,
        role=trial.role,
        kind=trial.config["growth"]["kind"],
        state="running",
        values=(),
        per_seed=(),
        seeds=trial.seeds,
        params=trial.params,
        config=trial.config,
        metrics={},
        epochs=0,
        seconds=None,
        reason=None,
        run_id=trial.run_id,
        started=now,
        ended=None,
    )
