"""Brings MLflow up to what a study's own storage knows."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.outcome import State, TrialOutcome, read_result
from neurosearch.search.seams import TrialSummary
from neurosearch.tracking.store import Store, choose_store
from neurosearch.tracking.sync import SyncReport, sync
from neurosearch.tracking.values import TrialEnd, TrialHistory

if TYPE_CHECKING:
    from neurosearch.search.stored import StoredStudy


def study_store(study: "StoredStudy") -> Store:
    """Returns where MLflow keeps a study."""
    return choose_store(study.folder.root, study.config.study.tracking.uri, study.folder.database)


def sync_study(study: "StoredStudy", running: bool) -> SyncReport:
    """Writes what MLflow misses of a study, and keeps the ids of runs that had to be made.

    Args:
        study: The study.
        running: Whether a process searches it.

    Raises:
        StoreError: MLflow does not take it; what was written stays.
    """
    report = sync(
        study_store(study), study.config.study.tracking.experiment, Path.cwd(), study.info, _histories(study), running
    )
    study.keep_run_ids(report.run_ids, report.study_run_id)
    return report


def _histories(study: "StoredStudy") -> Iterator[TrialHistory]:
    artifacts = artifacts_of(study.folder)
    for trial in study.trials():
        path = study.folder.result(trial.number)
        result = read_result(path) if artifacts.fetch(path) else None
        yield TrialHistory(
            trial=study.trial_info(trial.number),
            started_ms=round(1000 * trial.started),
            records=result.records if result is not None else (),
            end=_end(trial),
        )


def _end(trial: TrialSummary) -> TrialEnd | None:
    if trial.ended is None:
        return None
    state: State = trial.state if trial.state in ("failed", "stopped") else "finished"
    outcome = TrialOutcome(state, trial.reason, dict(trial.metrics), trial.epochs, trial.seconds or 0.0, ())
    return TrialEnd(outcome, trial.state == "finished", round(1000 * trial.ended))
