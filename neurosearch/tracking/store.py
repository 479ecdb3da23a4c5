"""Where MLflow keeps runs: a SQLite file beside the studies, or a tracking server.

Every use of MLflow begins with `connect`, because MLflow reads its environment when it is imported.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurosearch.tracking.entries import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DATABASE = "mlflow.db"
_ARTIFACTS = "mlartifacts"

PASSWORD = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105  # the name of a variable, as the next one
PASSWORD_FILE = "MLFLOW_TRACKING_PASSWORD_FILE"  # noqa: S105  # ours; MLflow has none

# A user's own settings of these win.
_DEFAULTS = {
    # By default a dead server blocks a call for four minutes. What fails is kept and tried again, so fail soon.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    # Migrations, registered versions and every lost connection are told at length otherwise; we say it ourselves, once.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# These do not.
_FIXED = {
    # We try again ourselves, after a look at what the server holds. MLflow would repeat a call whose answer was lost: a
    # second run of the same trial.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a model from a shared store must not run code
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody is told what runs here
}


# MLflow's pages show training runs then, rather than prompts and traces.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


class StoreError(RuntimeError):
    """MLflow's store cannot be used; the text says how to mend it."""


@dataclass(frozen=True)
class Store:
    """Where runs are kept.

    Attributes:
        uri: What MLflow calls the tracking URI.
        folder: The folder of all studies.
        embedded: Whether runs lie in a SQLite file in that folder, rather than on a server.
        studies: Server with the studies, which any machine may go on with; None where they lie in the folder.
    """

    uri: str
    folder: Path
    embedded: bool
    studies: str | None = None

    @property
    def database(self) -> Path:
        """The SQLite file of an embedded store."""
        return self.folder / _DATABASE

    @property
    def artifacts(self) -> Path:
        """Where an embedded store keeps files."""
        return self.folder / _ARTIFACTS

    @property
    def shown(self) -> str:
        """The address without a password, for people to read."""
        return masked(self.uri)

    def study_key(self, name: str) -> str:
        """Returns what tells the study from one of the same name that another folder, machine or database keeps."""
        place = "" if self.embedded else self.studies or f"{socket.gethostname()}\0{self.folder}"
        return hashlib.sha256(f"{place}\0{name}".encode()).hexdigest()[:16]


def choose_store(folder: str | Path, uri: str | None, database: str | None = None) -> Store:
    """Returns the store of the studies in `folder`.

    Args:
        folder: The folder of all studies.
        uri: A tracking server; None for a SQLite file in the folder.
        database: What holds the studies, as `storage.database` says.
    """
    resolved = Path(folder).resolve()
    if uri is not None:
        is_shared = database is not None and not database.startswith("sqlite:")
        return Store(uri, resolved, embedded=False, studies=database if is_shared else None)
    return Store(f"sqlite:///{resolved / _DATABASE}", resolved, embedded=True)


def set_environment() -> None:
    """Sets how MLflow behaves in this process and its children; to be called before MLflow is imported."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(_FIXED)


def read_password() -> None:
    """Puts the password that a file holds where MLflow looks for it, unless one is there.

    Raises:
        StoreError: The file cannot be read.
    """
    path = os.environ.get(PASSWORD_FILE)
    if not path or os.environ.get(PASSWORD):
        return
    try:
        os.environ[PASSWORD] = Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        message = f"the file {path}, which {PASSWORD_FILE} names, cannot be read: {why}. Mend the path."
        raise StoreError(message) from error


def connect(store: Store) -> "MlflowClient":
    """Returns a client of the store; the first use of an embedded one makes its database, which takes seconds.

    Raises:
        OSError: The database cannot be made.
        StoreError: The database cannot be opened, or a file with a password cannot be read.
    """
    set_environment()
    read_password()
    from mlflow import MlflowClient

    if store.embedded:
        if store.database.exists():
            require_readable(store.database)
        else:
            _create_database(store.database)
    return MlflowClient(tracking_uri=store.uri)


def experiment_id(client: "MlflowClient", store: Store, name: str) -> str:
    """Returns the id of the experiment of this name, made if there is none.

    Raises:
        StoreError: The experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = store.artifacts.as_uri() if store.embedded else None
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
        assert found is not None, "the experiment exists: MLflow has just said so"
    if found.lifecycle_stage != "active":
        message = (
            f"{store.shown}: the MLflow experiment {name!r} was deleted. Restore it (mlflow experiments restore "
            f"--experiment-id {found.experiment_id}) or choose another name under tracking.experiment."
        )
        raise StoreError(message)
    return str(found.experiment_id)


@contextlib.contextmanager
def patient(seconds: int) -> Iterator[None]:
    """Lets a call to a server take so long inside, for uploads, which the short default would cut off."""
    wanted = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def require_readable(path: Path) -> None:
    """Looks into an embedded store's database first: MLflow tries to open a damaged one for minutes.

    Raises:
        StoreError: It cannot be opened.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        message = (
            f"MLflow's database {path} cannot be opened: {error}. If it is damaged, move it away: "
            "`neurosearch sync STUDY` builds a new one from each study's own storage."
        )
        raise StoreError(message) from error


def _create_database(path: Path) -> None:
    """Makes MLflow's database elsewhere and moves it into place at once.

    Its migrations take seconds and race when two processes begin together, and a process killed amid them leaves a
    database that no MLflow opens any more. Here the first one wins, and nobody ever sees half a database.
    """
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=path.parent, ignore_cleanup_errors=True) as folder:
        fresh, whole = Path(folder) / "fresh.db", Path(folder) / "whole.db"
        MlflowClient(tracking_uri=f"sqlite:///{fresh}").search_experiments(max_results=1)
        shutil.copyfile(fresh, whole)  # a file of its own: MLflow keeps a connection to the first one
        _log_ahead(whole)
        _place(whole, path)


def _log_ahead(path: Path) -> None:
    """Makes commits cost one wait for the disk instead of three, and lets pages read while a search writes.

    MLflow commits six times for a short trial. A few file systems (network ones above all) cannot do it; there the
    database stays as it is.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _place(source: Path, target: Path) -> None:
    """Gives the file its final name unless another process was first."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not target.exists():
            source.replace(target)
