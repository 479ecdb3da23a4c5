"""Writes on a study's run what came out of the search: description, tags, metrics and files."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neurosearch.longwork import long_work
from neurosearch.names import PUBLISHED_TAG
from neurosearch.tracking import entries
from neurosearch.tracking.failures import in_words
from neurosearch.tracking.store import Store, StoreError, connect, patient
from neurosearch.tracking.titles import NOTE_TAG, shortened

_UPLOAD_SECONDS = 60


@dataclass(frozen=True)
class StudyPage:
    """What a study's run tells once the search has ended.

    Attributes:
        note: The description, in Markdown.
        tags: Short texts by name.
        metrics: Numbers by name.
        files: Texts by file name.
    """

    note: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Changes with what is told."""
        told = json.dumps([self.note, dict(self.tags), dict(self.metrics), dict(self.files)])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def holds_study_page(store: Store, run_id: str, page: StudyPage) -> bool:
    """Returns whether the study's run tells this page already, and so all that was written before it.

    Raises:
        StoreError: MLflow does not answer.
    """
    try:
        return bool(connect(store).get_run(run_id).data.tags.get(PUBLISHED_TAG) == page.digest)
    except Exception as error:  # whatever MLflow or a driver raises
        raise _refused(store, error) from error


def write_study_page(store: Store, run_id: str, page: StudyPage, time_ms: int) -> int:
    """Writes the page on the study's run; the last of all that is written, for it says that the results are there.

    Args:
        store: Where runs are kept.
        run_id: The study's run.
        page: What it tells.
        time_ms: When the search ended, in milliseconds since 1970.

    Returns:
        How many files were written.

    Raises:
        StoreError: MLflow does not take it.
    """
    try:
        client = connect(store)
        with (
            patient(_UPLOAD_SECONDS),
            tempfile.TemporaryDirectory() as folder,
            long_work("writing the results to MLflow", len(page.files) + 1) as more,
        ):
            for name, text in page.files.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
                more(1)
            client.log_artifacts(run_id, folder)
            _log(store, run_id, page, time_ms)
    except Exception as error:  # whatever MLflow, a driver or a disk raises
        raise _refused(store, error) from error
    return len(page.files)


def _refused(store: Store, error: Exception) -> StoreError:
    return StoreError(f"MLflow at {store.shown} does not take the study's results: {in_words(error)}")


def _log(store: Store, run_id: str, page: StudyPage, time_ms: int) -> None:
    from mlflow.entities import Metric, RunTag

    # The digest goes last, in the same call: what broke off before is written again.
    tags = {**page.tags, NOTE_TAG: shortened(page.note), PUBLISHED_TAG: page.digest}
    connect(store).log_batch(
        run_id,
        metrics=[Metric(entries.key(name), value, time_ms, 0) for name, value in page.metrics.items()],
        tags=[RunTag(name, entries.tag(text)) for name, text in tags.items()],
    )
