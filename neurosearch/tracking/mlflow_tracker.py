"""The tracker that writes to MLflow, behind the search's back: the search tells, a thread writes.

Telling takes microseconds and never fails. What is told gathers for a moment, so that a short trial costs one pass and
a long one a call for several epochs. A store that does not answer is tried again, ever more rarely; what waits is
bounded, and what does not fit is counted and left to `sync`, which rebuilds it from the study's own storage.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurosearch.tracking.failures import in_words, is_final
from neurosearch.tracking.open_run import OpenRun
from neurosearch.tracking.runs import RunWriter
from neurosearch.tracking.store import Store
from neurosearch.tracking.values import Outcome, Record, RunStatus, Study, Trial, TrialEnd
from neurosearch.tracking.waiting import Told, Waiting, now_ms

_logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_FILE_ATTEMPTS = 3


class MlflowTracker:
    """Keeps a study in MLflow; fits the search's `Tracker`.

    Args:
        store: Where runs are kept.
        experiment: Name of the MLflow experiment.
        work_folder: Where the user's work lies, for its git commit.
        gather_seconds: How long what is told gathers before it is written.
        max_waiting: How many starts and epochs may wait while the store does not answer; about 3 KB each.
    """

    def __init__(
        self, store: Store, experiment: str, work_folder: Path, gather_seconds: float = 1.0, max_waiting: int = 10_000
    ) -> None:
        self._store = store
        self._writer = RunWriter(store, experiment, work_folder)
        self._gather_seconds = gather_seconds
        self._waiting = Waiting(max_waiting)
        self._thread = threading.Thread(target=self._work, name="mlflow-tracker", daemon=True)
        self._study: Study | None = None
        self._deadline = float("inf")
        self._ids_lock = threading.Lock()
        self._new_run_ids: dict[int, str] = {}
        self._study_run_id: str | None = None
        # Of the thread alone:
        self._study_run: OpenRun | None = None
        self._runs: dict[int, OpenRun] = {}
        self._run_ids: dict[int, str] = {}
        self._file_failures: dict[str, int] = {}
        self._files_lost = 0
        self._failing = False
        self._ended = False

    def start_study(self, study: Study) -> None:
        """Opens the study's run, or goes on with the one named by `study.run_id`; MLflow is imported meanwhile."""
        assert self._study is None, "start_study is called once"
        self._study = study
        self._thread.start()

    def start_trial(self, trial: Trial) -> None:
        """Opens a trial's run, or goes on with its run of an earlier start."""
        self._waiting.start(trial)

    def log(self, number: int, records: Sequence[Record]) -> None:
        """Takes epoch records of a started trial; epochs told before are kept once."""
        self._waiting.log(number, records)

    def end_trial(self, number: int, outcome: Outcome, feasible: bool) -> None:
        """Ends a trial's run with what came out."""
        self._waiting.end(number, TrialEnd(outcome, feasible, now_ms()))

    def run_ids(self) -> Mapping[int, str]:
        """Returns run ids by trial number that became known since the last call."""
        with self._ids_lock:
            new, self._new_run_ids = self._new_run_ids, {}
        return new

    @property
    def study_run_id(self) -> str | None:
        """Id of the study's run, once known."""
        return self._study_run_id

    def close(self, timeout_seconds: float) -> int:
        """Writes what is left, for at most so long, and ends the study's run.

        Returns:
            How many starts, epochs, ends and files could not be written; 0 means that MLflow holds everything.
        """
        if self._study is None:
            return 0
        self._deadline = time.monotonic() + timeout_seconds
        self._waiting.stop()
        self._thread.join(timeout_seconds)
        return self._waiting.missing() + self._files_lost + (not self._ended)

    # All below is the thread's.

    def _work(self) -> None:
        delay = 0.0
        while not self._ended:
            if self._study_run is not None:
                self._waiting.wait_for_change()
                self._waiting.pause(delay or self._gather_seconds)
            if self._write_all():
                delay = 0.0
            else:
                delay = min(max(2 * delay, _FIRST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
                if not self._wait_to_retry(delay):
                    return

    def _wait_to_retry(self, delay: float) -> bool:
        """Waits until it is worth trying again; False when the time that `close` gives would be over."""
        self._waiting.pause(delay)
        if self._waiting.stopping:
            time.sleep(max(0.0, min(_FIRST_RETRY_SECONDS, self._deadline - time.monotonic())))
        return time.monotonic() < self._deadline

    def _write_all(self) -> bool:
        """Writes what waits; False when the store did not take it, which is tried again."""
        last = self._waiting.stopping  # asked first: then all that was told is seen below
        try:
            self._write_study()
            for number in self._waiting.numbers():
                self._write_trial_or_give_up(number, last)
            if last:
                self._end_study()
        except Exception as error:  # noqa: BLE001  # whatever MLflow, a driver or a disk raises: no trial may notice
            if time.monotonic() < self._deadline:  # later nothing is tried again, and who closed has counted it
                self._say_failing(error)
            return False
        self._say_working()
        return True

    def _write_study(self) -> None:
        if self._study_run is not None:
            return
        assert self._study is not None, "the thread starts with the study"
        opened = self._writer.open_study(self._study, now_ms())
        self._study_run_id = opened.run_id
        self._writer.set_status(opened, "RUNNING", now_ms())
        opened.has_config = False  # a study that goes on may have other budgets than the run was made with
        self._log_config(opened, self._study.config)
        self._study_run = opened

    def _write_trial_or_give_up(self, number: int, last: bool) -> None:
        try:
            self._write_trial(number, last)
        except Exception as error:
            if not is_final(error):
                self._waiting.put_last(number)
                raise
            self._waiting.give_up(number)
            self._runs.pop(number, None)
            _logger.warning("MLflow refuses trial %d, the study itself has it: %s", number, in_words(error))

    def _write_trial(self, number: int, last: bool) -> None:
        told = self._waiting.take(number)
        if told is None:
            return
        run = self._runs.get(number) or self._open(number, told)
        self._writer.log(run, told.records, told.trial, told.end)
        self._log_config(run, told.trial.config)
        self._writer.set_status(run, _status(told.end, last), told.end.time_ms if told.end else now_ms())
        self._waiting.cross_off(number, told)
        if told.end is not None:
            del self._runs[number]

    def _open(self, number: int, told: Told) -> OpenRun:
        run = self._writer.open_trial(told.trial, told.started_ms, told.end, self._run_ids.get(number))
        self._runs[number] = run
        self._run_ids[number] = run.run_id
        with self._ids_lock:
            self._new_run_ids[number] = run.run_id
        return run

    def _log_config(self, run: OpenRun, config: Mapping[str, Any]) -> None:
        """Writes the config's file; a store that takes metrics but no files soon goes without."""
        failures = self._file_failures.get(run.run_id, 0)
        if failures >= _FILE_ATTEMPTS:
            return
        try:
            self._writer.log_config(run, config)
        except Exception as error:
            self._file_failures[run.run_id] = failures + 1
            if failures + 1 < _FILE_ATTEMPTS:
                raise
            self._files_lost += 1
            _logger.warning("MLflow at %s does not take files: %s", self._store.shown, in_words(error))

    def _end_study(self) -> None:
        assert self._study_run is not None, "written before the trials"
        stopped = self._waiting.any_open()
        self._writer.set_status(self._study_run, "KILLED" if stopped else "FINISHED", now_ms())
        self._ended = True

    def _say_failing(self, error: Exception) -> None:
        if not self._failing:
            _logger.warning(
                "MLflow at %s cannot be written to; trials go on, and it is tried again: %s",
                self._store.shown,
                in_words(error),
            )
        self._failing = True

    def _say_working(self) -> None:
        if self._failing:
            _logger.warning("MLflow at %s can be written to again.", self._store.shown)
        self._failing = False


def _status(end: TrialEnd | None, last: bool) -> RunStatus:
    """A trial without an end is running, or was stopped with the search; a later start reopens its run."""
    if end is not None:
        return end.status
    return "KILLED" if last else "RUNNING"
