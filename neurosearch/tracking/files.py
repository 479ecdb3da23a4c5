"""Adds files to a trial's run."""

from collections.abc import Sequence
from pathlib import Path

from neurosearch.tracking.failures import in_words
from neurosearch.tracking.store import Store, StoreError, connect, patient

_UPLOAD_SECONDS = 60


def log_files(store: Store, run_id: str, folder: str, files: Sequence[Path]) -> None:
    """Copies files into a folder of a run's artifacts; one of the same name there is replaced.

    Args:
        store: Where runs are kept.
        run_id: The run.
        folder: Name of the folder.
        files: What to copy.

    Raises:
        StoreError: MLflow does not take one.
    """
    try:
        client = connect(store)
        with patient(_UPLOAD_SECONDS):
            for file in files:
                client.log_artifact(run_id, str(file), folder)
    except Exception as error:  # whatever MLflow, a driver or a disk raises
        raise StoreError(f"MLflow at {store.shown} does not take {folder}: {in_words(error)}") from error
