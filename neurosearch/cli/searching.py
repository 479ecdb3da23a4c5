"""What `search` and `resume` share: the search, told with a line for every trial."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from neurosearch.cli.frame import INTERRUPTED
from neurosearch.cli.report import FAILED, CommandError, Report, say
from neurosearch.cli.studies import on_study
from neurosearch.cli.summary import search_report
from neurosearch.cli.words import trial_line
from neurosearch.config.load import StudyConfig
from neurosearch.search.errors import StorageLost
from neurosearch.search.folders import StudyFolder
from neurosearch.search.run import run_search
from neurosearch.search.seams import Record, SilentTracker, Tracker, TrialInfo, TrialSummary
from neurosearch.search.stored import StoredStudy
from neurosearch.search.trial import disk_takes_no_more, disk_words


class ProgressLines:
    """A listener that says one line for every trial that ends."""

    def __init__(self, metric: str) -> None:
        """Takes the name of the objective."""
        self._metric = metric

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Says nothing: the line comes with the result."""

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Says nothing."""

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Says how it ended."""
        say(trial_line(trial, self._metric, best))


def run_study(study: StudyConfig, folder: StudyFolder, *, resume: bool, address: str | None) -> Report:
    """Searches, exports the winner, and reports.

    Raises:
        StudyError: The study cannot be made or gone on with.
        CommandError: Interrupted by a second Ctrl-C.
    """
    search = study.study.search
    say(
        f"study {folder.name} in {folder.path}: {search.trials} trials, {search.concurrency} at a time; Ctrl-C stops it"
    )
    try:
        result = run_search(
            study,
            replace(folder, root=folder.root.resolve()),  # workers have another working directory
            resume=resume,
            address=address,
            tracker=_tracker(study, folder),
            listener=ProgressLines(search.objectives[0].metric),
        )
    except KeyboardInterrupt as error:
        raise CommandError(
            "interrupted at once; running trials go on from their last checkpoint when the study is resumed.",
            code=INTERRUPTED,
            next_commands=(on_study("resume", folder),),
        ) from error
    except StorageLost as error:
        raise CommandError(str(error), code=FAILED, next_commands=(on_study("resume", folder),)) from error
    except OSError as error:
        if not disk_takes_no_more(error):
            raise
        raise CommandError(
            disk_words(error, folder), code=FAILED, next_commands=(on_study("resume", folder),)
        ) from error
    stored = StoredStudy(folder)
    # What an earlier process told its tracker may have died with it.
    return search_report(stored, result, tuple(_synced(stored)) if resume or result.untold else ())


def _tracker(study: StudyConfig, folder: StudyFolder) -> Tracker:
    tracking = study.study.tracking
    if not tracking.enabled:
        return SilentTracker()
    from neurosearch.tracking.mlflow_tracker import MlflowTracker
    from neurosearch.tracking.store import choose_store

    return MlflowTracker(choose_store(folder.root, tracking.uri), tracking.experiment, Path.cwd())


def _synced(study: StoredStudy) -> Iterator[str]:
    """Writes what the tracker could not, or yields how to do it later."""
    if not study.config.study.tracking.enabled:
        return
    from neurosearch.cli.mlflow_sync import sync_study
    from neurosearch.tracking.store import StoreError

    try:
        sync_study(study, running=False)
    except StoreError as error:
        yield f"MLflow misses a part of this study ({error}) `{on_study('sync', study)}` writes it."
