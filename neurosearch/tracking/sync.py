"""Writes what MLflow missed, from the study's own storage: all of it, or nothing when nothing is missing.

Whether a server was down, a disk was full or the database was lost makes no difference: each run is compared with what
the study knows, and only the difference is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from neurosearch.longwork import long_work
from neurosearch.names import EPOCH_SECONDS
from neurosearch.tracking.failures import RunDeletedError, in_words
from neurosearch.tracking.open_run import OpenRun
from neurosearch.tracking.runs import RunWriter
from neurosearch.tracking.store import Store, StoreError
from neurosearch.tracking.values import Record, RunStatus, Study, TrialHistory
from neurosearch.tracking.waiting import now_ms


@dataclass
class SyncReport:
    """What `sync` wrote.

    Attributes:
        study_run_id: Id of the study's run.
        run_ids: Ids of the trials' runs by number; the study keeps them.
        runs: Runs that had to be made.
        entries: Metrics, params and tags added.
        files: Config files added.
        statuses: Runs whose status was set right.
        refused: Trials whose run was deleted, each with what to do about it.
    """

    study_run_id: str = ""
    run_ids: dict[int, str] = field(default_factory=dict)
    runs: int = 0
    entries: int = 0
    files: int = 0
    statuses: int = 0
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """How much was written in all; 0 when MLflow held everything."""
        return self.runs + self.entries + self.files + self.statuses


def sync(
    store: Store, experiment: str, work_folder: Path, study: Study, trials: Iterable[TrialHistory], running: bool
) -> SyncReport:
    """Writes what MLflow does not hold of a study.

    Args:
        store: Where runs are kept.
        experiment: Name of the MLflow experiment.
        work_folder: Where the user's work lies, for its git commit.
        study: The study.
        trials: What its storage knows of every trial.
        running: Whether a search still runs: then the runs of the study and of trials without an end are left open.

    Raises:
        StoreError: MLflow cannot be written to. What was written stays and is not written again.
    """
    writer = RunWriter(store, experiment, work_folder)
    report = SyncReport()
    try:
        _sync(writer, report, study, trials, running)
    except StoreError:
        raise
    except Exception as error:  # whatever MLflow, a driver or a disk raises
        message = (
            f"MLflow at {store.shown} cannot be written to: {in_words(error)} "
            "See that it is up and reachable, then sync again; nothing is written twice."
        )
        raise StoreError(message) from error
    return report


def _sync(writer: RunWriter, report: SyncReport, study: Study, trials: Iterable[TrialHistory], running: bool) -> None:
    histories = sorted(trials, key=lambda history: history.trial.number)
    run = writer.open_study(study, min((history.started_ms for history in histories), default=now_ms()))
    report.study_run_id = run.run_id
    report.runs += run.created
    report.files += writer.log_config(run, study.config)
    with long_work("writing to MLflow", len(histories), "trials") as more:
        for history in histories:
            try:
                _sync_trial(writer, report, history, running)
            except RunDeletedError as error:
                report.refused[history.trial.number] = str(error)
            more(1)
    if not running:
        stopped = any(history.end is None for history in histories)
        last_ms = max((_last_ms(history) for history in histories), default=now_ms())
        _set_status(writer, report, run, "KILLED" if stopped else "FINISHED", last_ms)


def _sync_trial(writer: RunWriter, report: SyncReport, history: TrialHistory, running: bool) -> None:
    run = writer.open_trial(history.trial, history.started_ms, history.end)
    report.run_ids[history.trial.number] = run.run_id
    report.runs += run.created
    report.entries += writer.log(run, _with_times(history), history.trial, history.end)
    report.files += writer.log_config(run, history.trial.config)
    if history.end is not None:
        _set_status(writer, report, run, history.end.status, history.end.time_ms)
    elif not running:
        _set_status(writer, report, run, "KILLED", _last_ms(history))


def _set_status(writer: RunWriter, report: SyncReport, run: OpenRun, status: RunStatus, time_ms: int) -> None:
    report.statuses += run.status != status
    writer.set_status(run, status, time_ms)


def _with_times(history: TrialHistory) -> list[tuple[Record, int]]:
    """Dates each epoch by the time that all epochs so far took: nobody noted when it was reported."""
    dated: list[tuple[Record, int]] = []
    time_ms = float(history.started_ms)
    for record in history.records:
        time_ms += 1000 * float(record["metrics"].get(EPOCH_SECONDS, 0.0))
        dated.append((record, round(time_ms)))
    return dated


def _last_ms(history: TrialHistory) -> int:
    """When the trial was last heard of."""
    if history.end is not None:
        return history.end.time_ms
    return max((time_ms for _, time_ms in _with_times(history)), default=history.started_ms)
