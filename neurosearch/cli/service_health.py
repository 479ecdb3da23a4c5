"""Do Ray, the studies' storage and MLflow work from here? Each with what to do if not; nothing is started."""

import errno
import fcntl
import os
import shutil
import socket
import tempfile
import time
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from neurosearch.cli.machine_health import Finding, existing

if TYPE_CHECKING:
    from neurosearch.config.study import StudyFields

_ANSWER_SECONDS = 2.0
_SHARED_MEMORY = 150 * 2**20  # Ray's object store takes 100 MiB
_SOCKET_PATH_BYTES, _SESSION_BYTES = 107, 75  # what the kernel allows, and what Ray appends to its folder


def ray(address: str | None) -> Finding:
    """Tells whether a cluster answers, or whether Ray can be started on this machine."""
    version = f"Ray {metadata.version('ray')}"
    if address is not None:
        return _cluster(version, address)
    if os.environ.get("RAY_ADDRESS"):
        text = f"{version}: RAY_ADDRESS is set, so Ray would not start on this machine."
        return Finding("Ray", "wrong", text, "Unset it, and name the cluster with --address where you want one.")
    from neurosearch.search.log_files import ray_folder

    folder = ray_folder()
    if len(os.fsencode(folder)) + _SESSION_BYTES > _SOCKET_PATH_BYTES:
        return Finding("Ray", "wrong", f"{folder} is too long for Ray's sockets.", "Set RAY_TMPDIR to a short path.")
    if not os.access(existing(folder), os.W_OK):
        return Finding("Ray", "wrong", f"{folder} cannot be written.", "Set RAY_TMPDIR to a folder that can.")
    try:
        with socket.create_server(("127.0.0.1", 0)):
            pass
    except OSError as error:
        return Finding("Ray", "wrong", f"nothing can listen on 127.0.0.1: {error.strerror}.", "Bring up the loopback.")
    return _shared_memory(version, folder)


def _cluster(version: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return Finding("Ray", "wrong", f"{address!r} is no address of a cluster.", "Write host:port: 10.0.0.7:6379.")
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        text = f"no cluster answers at {address}: {error.strerror or error}."
        return Finding("Ray", "wrong", text, "Start it with `ray start --head`, or mend the address.")
    return Finding("Ray", "ok", f"{version}; {address} answers")


def _shared_memory(version: str, folder: Path) -> Finding:
    shared = Path("/dev/shm")  # noqa: S108  # where Ray keeps its objects
    free = shutil.disk_usage(shared).free if shared.is_dir() else None
    if free is not None and free < _SHARED_MEMORY:
        text = f"{free / 2**20:.0f} MiB of shared memory are free."
        return Finding("Ray", "mind", text, "Give the container more (docker run --shm-size=1g); a disk is slower.")
    return Finding("Ray", "ok", f"{version}; starts on this machine, with its sessions in {folder}")


def storage(folder: Path, database: str | None) -> Finding:
    """Tells whether studies can be kept: a folder that can be written and locked, and the database if there is one."""
    place = existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            text = f"{place} knows no file locks, by which one process at a time searches a study."
            return Finding("storage", "wrong", text, "Mount it with locks, or use a folder on another disk.")
        text = f"{place} cannot be written: {error.strerror}."
        return Finding("storage", "wrong", text, "Mend its rights, or give another --folder.")
    return _studies(folder, database)


def _studies(folder: Path, database: str | None) -> Finding:
    from neurosearch.config.database import PostgresAddress, database_address, without_password
    from neurosearch.search.errors import StudyError
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.storage import check_rights, stored_names

    try:
        address = None if database is None else database_address(database)
        if isinstance(address, PostgresAddress):
            socket.create_connection((address.host, address.port), _ANSWER_SECONDS).close()
        check_rights(StudyFolder(folder, "doctor", database))
        names = stored_names(StudyFolder(folder, "doctor", database))
    except ValueError as error:
        text = str(error) if isinstance(error, StudyError) else f"--database {error}."
        return Finding("storage", "wrong", without_password(text))
    except OSError as error:
        text = f"no server answers at {database}: {error.strerror or error}."
        return Finding("storage", "wrong", text, "Start it, or mend host and port.")
    where = f"{folder} and {database}" if database else f"{folder}"
    return Finding("storage", "ok", f"{where} can be used; {len(names)} {'study' if len(names) == 1 else 'studies'}")


def artifacts(study: "StudyFields") -> Finding:
    """Tells whether what trials leave can be kept in the bucket that a config names."""
    from neurosearch.search.artifacts import artifacts_of
    from neurosearch.search.errors import StudyError
    from neurosearch.search.folders import StudyFolder

    address = study.storage.artifacts
    if address is None:
        return Finding("artifacts", "ok", "kept in the folder of the studies")
    try:
        artifacts_of(StudyFolder.of(study)).check()
    except StudyError as error:
        return Finding("artifacts", "wrong", str(error))
    return Finding("artifacts", "ok", f"{address} can be written, read and cleared")


def mlflow(folder: Path, uri: str | None) -> Finding:
    """Tells whether MLflow's database opens, or its server answers and has the same time."""
    from neurosearch.tracking.store import StoreError, choose_store, require_readable

    version = f"MLflow {metadata.version('mlflow')}"
    store = choose_store(folder, uri)
    if store.embedded:
        if not store.database.exists():
            return Finding("MLflow", "ok", f"{version}; {store.database} is made by the first study")
        try:
            require_readable(store.database)
        except StoreError as error:
            return Finding("MLflow", "wrong", str(error))
        return Finding("MLflow", "ok", f"{version}; {store.database} opens")
    if not store.uri.startswith(("http://", "https://")):
        return Finding("MLflow", "ok", f"{version}; {store.shown} is opened by MLflow itself, and not looked at here")
    return _server(version, store.uri, store.shown)


def _server(version: str, uri: str, shown: str) -> Finding:
    from neurosearch.tracking.login import refusal
    from neurosearch.tracking.store import StoreError

    remedy = "Start it, or mend the address; a search runs all the same, and `neurosearch sync` writes what was missed."
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_SECONDS) as answer:  # noqa: S310  # http or https
            date = answer.headers.get("Date")
    except HTTPError as error:
        if error.code not in (401, 403, 404):  # it is there, and wants a password, or has no such page
            return Finding("MLflow", "mind", f"{shown} answers with {error.code} {error.reason}.", remedy)
        date = error.headers.get("Date")
    except HTTPException:
        return Finding("MLflow", "wrong", f"{shown} answers, but not as a tracking server does.", "Mend the address.")
    except (URLError, OSError, ValueError) as error:
        return Finding("MLflow", "mind", f"{shown} does not answer: {getattr(error, 'reason', error)}.", remedy)
    try:
        refused = refusal(uri)
    except StoreError as error:
        refused = str(error)
    if refused is not None:
        return Finding("MLflow", "wrong", refused)
    skew = _skew(date)
    if skew is not None and abs(skew) > 30:
        text = f"{shown} answers, but its clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}."
        return Finding("MLflow", "mind", text, "Let NTP set both clocks.")
    return Finding("MLflow", "ok", f"{version}; {shown} answers")


def _skew(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None
