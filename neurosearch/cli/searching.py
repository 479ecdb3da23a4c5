"""What `search` and `resume` share: the search, told while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from neurosearch.cli.frame import INTERRUPTED
from neurosearch.cli.options import Progress
from neurosearch.cli.progress import telling, telling_work
from neurosearch.cli.readiness import check_readiness, existing_study
from neurosearch.cli.report import FAILED, CommandError, Report
from neurosearch.cli.studies import on_study
from neurosearch.cli.summary import search_report
from neurosearch.cli.terminal import outliving_the_terminal
from neurosearch.config.load import StudyConfig
from neurosearch.search.errors import RayNotStarted, StorageLost, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.run import SearchResult, run_search
from neurosearch.search.seams import SilentTracker, Tracker
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import check_name_is_free
from neurosearch.search.surroundings import environment, logging_to
from neurosearch.search.trial import disk_takes_no_more, disk_words


def search_study(
    study: StudyConfig,
    *,
    resume: bool,
    address: str | None,
    progress: Progress = Progress.AUTO,
    checked: bool = False,
) -> Report:
    """Checks everything that a config names, then searches it.

    Args:
        study: What to search.
        resume: Whether to go on with the study of this name if there is one; otherwise it must be new.
        address: Address of a running Ray cluster; None: this machine.
        progress: How to tell what happens meanwhile.
        checked: Whether everything was checked just now, by another process on this machine.

    Raises:
        ConfigError: With everything that is missing or cannot be used.
        CommandError: The name is that of a study which is there; or as `run_study` says.
        StudyError: The study cannot be made.
    """
    folder = StudyFolder.of(study.study)
    existing = existing_study(study)
    if existing is not None and existing.fingerprint() == study.fingerprint():
        if resume:
            notes = () if checked else _ready_notes(study, folder, address, progress, is_resumed=True)
            return run_study(study, folder, resume=True, address=address, progress=progress, notes=notes)
        try:
            check_name_is_free(folder, study)  # another space is told below, with all other problems
        except StudyError as error:
            raise CommandError(
                str(error), next_commands=(on_study("resume", folder), on_study("status", folder))
            ) from error
    notes = () if checked else _ready_notes(study, folder, address, progress, is_resumed=False)
    return run_study(study, folder, resume=False, address=address, progress=progress, notes=notes)


def _ready_notes(
    study: StudyConfig, folder: StudyFolder, address: str | None, progress: Progress, *, is_resumed: bool
) -> Sequence[str]:
    with telling_work(progress, folder):
        return check_readiness(study, is_resumed=is_resumed, on_cluster=address is not None).notes


def run_study(
    study: StudyConfig,
    folder: StudyFolder,
    *,
    resume: bool,
    address: str | None,
    progress: Progress = Progress.AUTO,
    notes: Sequence[str] = (),
) -> Report:
    """Searches, exports the winner, and reports.

    Args:
        study: What to search.
        folder: Where it lies.
        resume: Whether to go on with the study that is there.
        address: Address of a running Ray cluster; None: this machine.
        progress: How to tell what happens meanwhile.
        notes: What to tell before.

    Raises:
        StudyError: The study cannot be made or gone on with.
        CommandError: Interrupted by a second Ctrl-C.
    """
    with outliving_the_terminal(), _mlflow_logging(study, folder), telling_work(progress, folder):
        result = _searched(study, folder, resume=resume, address=address, progress=progress, notes=notes)
        stored = StoredStudy(folder)
        # What an earlier process told its tracker may have died with it.
        report = search_report(stored, result, tuple(_synced(stored)) if resume or result.untold else ())
        if result.stopped or result.halted is not None:
            return report
        from neurosearch.cli.publishing import last_lines  # brings Plotly along

        return replace(report, lines=(*report.lines, *last_lines(stored)))


def _searched(
    study: StudyConfig,
    folder: StudyFolder,
    *,
    resume: bool,
    address: str | None,
    progress: Progress,
    notes: Sequence[str],
) -> SearchResult:
    try:
        with telling(progress, study, folder, resume=resume) as teller:
            for note in notes:
                teller.note(note)
            return run_search(
                study,
                replace(folder, root=folder.root.resolve()),  # workers have another working directory
                resume=resume,
                address=address,
                tracker=_tracker(study, folder),
                listener=teller,
            )
    except KeyboardInterrupt as error:
        raise CommandError(
            "interrupted at once; running trials go on from their last checkpoint when the study is resumed.",
            code=INTERRUPTED,
            next_commands=(on_study("resume", folder),),
        ) from error
    except (StorageLost, RayNotStarted) as error:
        raise CommandError(str(error), code=FAILED, next_commands=(on_study("resume", folder),)) from error
    except OSError as error:
        if not disk_takes_no_more(error):
            raise
        raise CommandError(
            disk_words(error, folder), code=FAILED, next_commands=(on_study("resume", folder),)
        ) from error


@contextmanager
def _mlflow_logging(study: StudyConfig, folder: StudyFolder) -> Iterator[None]:
    """Sends what MLflow logs to a file; by itself it would log to the screen."""
    if not study.study.tracking.enabled:
        yield
        return
    with environment({"MLFLOW_CONFIGURE_LOGGING": "false"}), logging_to(folder.logs / "mlflow.log", "mlflow"):
        yield


def _tracker(study: StudyConfig, folder: StudyFolder) -> Tracker:
    tracking = study.study.tracking
    if not tracking.enabled:
        return SilentTracker()
    from neurosearch.tracking.mlflow_tracker import MlflowTracker
    from neurosearch.tracking.store import choose_store

    store = choose_store(folder.root, tracking.uri, folder.database)
    return MlflowTracker(store, tracking.experiment, Path.cwd())


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
