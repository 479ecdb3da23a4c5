"""The report where people find it: in the study's folder, and on the study's run in MLflow."""

from dataclasses import dataclass
from pathlib import Path

from neurosearch.longwork import long_work
from neurosearch.report.page import build_report
from neurosearch.search.outcome import write_text
from neurosearch.search.stored import StoredStudy
from neurosearch.tracking.files import log_files
from neurosearch.tracking.store import StoreError, choose_store

FILE_NAME = "report.html"
_ARTIFACTS = "report"


@dataclass(frozen=True)
class DeliveredReport:
    """A report that was written.

    Attributes:
        path: The file.
        run_id: The study's run in MLflow that holds a copy; None if none does.
        remark: Why none does, where one should.
    """

    path: Path
    run_id: str | None
    remark: str | None


def deliver_report(study: StoredStudy, out: Path | None = None) -> DeliveredReport:
    """Writes a study's report, and adds it to its run in MLflow if the study is kept there.

    Args:
        study: In whatever state it is.
        out: The file; None: `report.html` in the study's folder.

    Raises:
        StudyError: The study's storage cannot be read.
        OSError: The file cannot be written.
    """
    path = write_report(study, out)
    run_id = study.info.run_id
    if not study.config.study.tracking.enabled:
        return DeliveredReport(path, None, None)
    if run_id is None:
        again = f"`{study.folder.command('sync')}`, then `{study.folder.command('report')}` adds the report"
        return DeliveredReport(path, None, f"MLflow does not know the study yet: {again}.")
    try:
        upload_report(study, run_id, path)
    except StoreError as error:
        return DeliveredReport(path, None, str(error))
    return DeliveredReport(path, run_id, None)


def write_report(study: StoredStudy, out: Path | None = None) -> Path:
    """Writes a study's report, and returns the file.

    Args:
        study: In whatever state it is.
        out: The file; None: `report.html` in the study's folder.

    Raises:
        StudyError: The study's storage cannot be read.
        OSError: The file cannot be written.
    """
    path = study.folder.path / FILE_NAME if out is None else out
    with long_work("building the report"):
        write_text(path, build_report(study))
    return path


def upload_report(study: StoredStudy, run_id: str, path: Path) -> None:
    """Adds a written report to the study's run in MLflow.

    Raises:
        StoreError: MLflow does not take it.
    """
    log_files(choose_store(study.folder.root, study.config.study.tracking.uri), run_id, _ARTIFACTS, [path])
