"""Runs MLflow's web pages on a store, for this machine alone, until they are no longer wanted."""

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from neurosearch.tracking.store import Store, StoreError, connect, set_environment

_STARTING_SECONDS = 120  # on a machine with much else to do; a few seconds as a rule
_STOPPING_SECONDS = 10


def ui_command(store: Store, host: str, port: int) -> list[str]:
    """Returns the command line of MLflow's pages.

    Raises:
        StoreError: The store is a server, which has pages of its own, or the host is not this machine alone.
    """
    if not store.embedded:
        raise StoreError(
            f"The study is kept by a tracking server with pages of its own: open {store.shown} in a browser."
        )
    if not _is_loopback(host):
        message = (
            f"The pages let anyone who reaches {host} read and delete every study, as they ask for no password. Use "
            f"127.0.0.1, and from another machine a tunnel: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE."
        )
        raise StoreError(message)
    words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    words += ["--default-artifact-root", store.artifacts.as_uri(), "--host", host, "--port", str(port)]
    return [*words, "--workers", "1"]


def run_ui(store: Store, host: str, port: int, log: Path, ready: Callable[[str], None]) -> None:
    """Runs MLflow's pages until Ctrl-C, or until this process is asked to end.

    Args:
        store: The store to show.
        host: A name or address of this machine that others cannot reach.
        port: TCP port.
        log: File that takes what MLflow prints.
        ready: Called with the address of the latest experiment once the pages answer.

    Raises:
        StoreError: They cannot be run; the text says how to mend it.
    """
    with _ended_by_any_signal(), running_ui(store, host, port, log) as address:
        ready(_latest_page(store, address))
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


@contextlib.contextmanager
def _ended_by_any_signal() -> Iterator[None]:
    """Makes Ctrl-C of a kill or a closed terminal, which would leave the server running without us.

    SIGINT is among them because a shell that starts us in the background has us ignore it.
    """
    numbers = (
        (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    )
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def running_ui(store: Store, host: str, port: int, log: Path) -> Iterator[str]:
    """Runs MLflow's pages while inside, and yields their address; see `run_ui`."""
    command = ui_command(store, host, port)
    _require_free(host, port)
    connect(store)  # an empty store shows empty pages rather than none
    log.parent.mkdir(parents=True, exist_ok=True)
    set_environment()
    # Nothing here runs prompts or evaluations, whose workers would triple the memory.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("w") as output:
        # A session of its own: Ctrl-C reaches us alone, and we end the server's whole family.
        process = subprocess.Popen(  # noqa: S603  # our own words
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _wait_until_up(process, host, port, log)
            yield f"http://{_bracketed(host)}:{port}"
        finally:
            _end(process)


def _latest_page(store: Store, address: str) -> str:
    """Returns where the latest experiment's runs are; unless asked for training, MLflow shows prompts and traces."""
    found = connect(store).search_experiments(order_by=["last_update_time DESC"], filter_string="name != 'Default'")
    page = f"/#/experiments/{found[0].experiment_id}/runs?workflowType=machine_learning" if found else ""
    return f"{address}{page}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_free(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StoreError(
            f"Port {port} of {host} cannot be used ({error.strerror}); choose another with --port."
        ) from error


def _wait_until_up(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while not _answers(host, port):
        if process.poll() is not None:
            raise StoreError(f"MLflow's pages ended at once (exit code {process.returncode}); {log} says why.")
        if time.monotonic() > deadline:
            raise StoreError(f"MLflow's pages did not come up within {_STARTING_SECONDS} s; {log} says why.")
        time.sleep(0.1)


def _answers(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and its children: they keep the port when only the first one goes."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOPPING_SECONDS)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived it


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
