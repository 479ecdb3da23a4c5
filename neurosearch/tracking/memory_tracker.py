"""A tracker that keeps everything in memory: for tests, and the shortest statement of what a tracker does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurosearch.tracking.entries import metrics_of_end, metrics_of_record
from neurosearch.tracking.values import Outcome, Record, RunStatus, Study, Trial


@dataclass
class MemoryRun:
    """One run.

    Attributes:
        run_id: Its id.
        number: The trial's number; None for the study's run.
        status: Its status.
        config: The config it was started with.
        params: The searched values.
        epochs: Metrics by epoch.
        final: Metrics of the final network.
        reason: Why it failed.
    """

    run_id: str
    number: int | None
    status: RunStatus
    config: Mapping[str, Any]
    params: Mapping[str, Any]
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    reason: str | None = None


@dataclass
class MemoryStore:
    """What outlives a tracker: the runs by id."""

    runs: dict[str, MemoryRun] = field(default_factory=dict)

    def open(self, run_id: str, number: int | None, config: Mapping[str, Any], params: Mapping[str, Any]) -> MemoryRun:
        """Returns the run of this id, running."""
        run = self.runs.setdefault(run_id, MemoryRun(run_id, number, "RUNNING", config, params))
        run.status = "RUNNING"
        return run


class MemoryTracker:
    """Keeps a study in memory; fits the search's `Tracker`.

    Args:
        store: Where runs are kept; a second tracker on it goes on with them.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self._study: MemoryRun | None = None
        self._trials: dict[int, MemoryRun] = {}
        self._new_run_ids: dict[int, str] = {}
        self._lost = 0

    def start_study(self, study: Study) -> None:
        """Opens the study's run."""
        self._study = self.store.open(study.run_id or study.name, None, study.config, {})

    def start_trial(self, trial: Trial) -> None:
        """Opens a trial's run."""
        assert self._study is not None, "start_study comes first"
        run_id = trial.run_id or f"{self._study.run_id}/{trial.number}"
        self._trials[trial.number] = self.store.open(run_id, trial.number, trial.config, trial.params)
        self._new_run_ids[trial.number] = run_id

    def log(self, number: int, records: Sequence[Record]) -> None:
        """Keeps each epoch once."""
        run = self._trials.get(number)
        if run is None:
            self._lost += len(records)
            return
        for record in records:
            run.epochs.setdefault(int(record["epoch"]), metrics_of_record(record))

    def end_trial(self, number: int, outcome: Outcome, feasible: bool) -> None:  # noqa: ARG002  # the seam's argument
        """Ends a trial's run."""
        run = self._trials.get(number)
        if run is None:
            self._lost += 1
            return
        run.status = "FINISHED" if outcome.state == "finished" else "FAILED"
        run.final = metrics_of_end(outcome)
        run.reason = outcome.reason

    def run_ids(self) -> Mapping[int, str]:
        """Returns run ids by trial number that became known since the last call."""
        new, self._new_run_ids = self._new_run_ids, {}
        return new

    @property
    def study_run_id(self) -> str | None:
        """Id of the study's run, once known."""
        return self._study.run_id if self._study else None

    def close(self, timeout_seconds: float) -> int:  # noqa: ARG002  # the seam's name; nothing here waits
        """Ends the study's run and those of stopped trials; only what was told of unstarted trials is missing."""
        stopped = [run for run in self._trials.values() if run.status == "RUNNING"]
        for run in stopped:
            run.status = "KILLED"
        if self._study is not None:
            self._study.status = "KILLED" if stopped else "FINISHED"
        return self._lost
