"""A Ray cluster: reached, or made of this machine; what its nodes have, and what its workers may know."""

import logging
import math
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from neurosearch.config.database import without_login
from neurosearch.search.coming_nodes import coming_nodes
from neurosearch.search.errors import RayNotStarted, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.log_files import ray_log, session_line
from neurosearch.search.surroundings import environment, logging_to

AUTO = "auto"  # Ray's own word for the cluster that this machine is a node of
_CONNECT_SECONDS = 5.0
_OBJECT_STORE_BYTES = 100 * 2**20  # close to Ray's minimum: data goes by memory map, only small messages by Ray
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output can be switched off
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # a search that is a job itself may hide its secrets from its workers
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_THRESHOLD_S": "60",
}
_NOISE = "ray.tune.analysis.experiment_analysis"  # misses the result files that we tell Tune not to write

#: Variables that the searching process alone may know: its workers find them empty.
SECRETS = (
    "NEUROSEARCH_DATABASE_PASSWORD",
    "NEUROSEARCH_DATABASE_PASSWORD_FILE",
    "PGPASSWORD",
    "PGPASSFILE",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_PASSWORD_FILE",
    "MLFLOW_TRACKING_TOKEN",
)


@dataclass(frozen=True)
class Workers:
    """What the trials run on.

    Attributes:
        concurrency: Trials at the same time.
        cpus_per_trial: CPU cores of each; also its number of threads.
        gpus_per_trial: GPUs of each; a share such as 0.25 shares one.
        address: Address of a running Ray cluster; None: this machine.
    """

    concurrency: int
    cpus_per_trial: float
    gpus_per_trial: float
    address: str | None


@contextmanager
def cluster(workers: Workers, folder: StudyFolder) -> Iterator[None]:
    """Connects to a Ray cluster for the block, or makes one of this machine that listens on loopback only.

    What Ray says in this process goes to the study's logs.

    Raises:
        RayNotStarted: There is none, and this machine could not be made one.
        StudyError: The cluster cannot be reached, or has not what one trial needs.
    """
    with environment(_ENVIRONMENT), logging_to(ray_log(folder), "ray", _NOISE):
        _start(workers)
        try:
            logging.getLogger("ray").info(session_line(ray.get_runtime_context().get_session_name()))
            check_resources(workers)
            yield
        finally:
            ray.shutdown()


def gpu_bytes() -> int:
    """Returns how large the memory of one of the cluster's GPUs is; inside `cluster`. All are taken to be alike."""

    @ray.remote(num_gpus=1)
    def measured() -> int:
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory)

    found: int = ray.get(measured.remote())
    return found


def node_memory() -> int:
    """Returns how many bytes of memory the node with the most of it has, or may have; inside `cluster`.

    Nodes without a CPU for trials, such as a head that only drives, do not count.
    """
    nodes = (*_nodes(), *(node.resources for node in coming_nodes()))
    return int(max((node.get("memory", 0.0) for node in nodes if node.get("CPU")), default=0.0))


def check_address(address: str) -> None:
    """Checks that something listens where a cluster should be; Ray itself would try for minutes.

    Raises:
        StudyError: It is no address of a cluster, or nobody answers.
    """
    shown = without_login(address)
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        # ray:// would run the search on the cluster, away from the study's folder and its lock.
        raise StudyError(
            f"{shown!r} is no address of a Ray cluster; write host:port, such as 10.0.0.7:6379. Where a dashboard "
            "takes jobs (http://...), use `neurosearch submit`."
        )
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise StudyError(
            f"no Ray cluster answers at {shown}: {error.strerror or error}. Start it with `ray start --head`, or "
            "mend the address."
        ) from error


def check_resources(workers: Workers) -> None:
    """Checks that one node has what a trial asks for, or may have it once the cluster has grown; inside `cluster`.

    Raises:
        StudyError: None has, and none may.
    """
    nodes, coming = _nodes(), [node.resources for node in coming_nodes()]
    for field, kind, needed in (
        ("search.cpus_per_trial", "CPU", workers.cpus_per_trial),
        ("search.gpus_per_trial", "GPU", workers.gpus_per_trial),
    ):
        most = max((node.get(kind, 0.0) for node in nodes), default=0.0)
        if needed <= max(most, *(node[kind] for node in coming), 0.0):
            continue
        grown = ", nor may one that the cluster can add" if coming else ""
        raise StudyError(
            f"{field} is {needed:g}, but no node has more than {most:g} of {kind}{grown}. Lower it, or add a node."
        )


def _start(workers: Workers) -> None:
    hidden = {"env_vars": dict.fromkeys(SECRETS, "")}
    if workers.address is None:
        _start_here(workers, hidden)
        return
    if workers.address != AUTO:
        check_address(workers.address)
    try:
        ray.init(address=workers.address, log_to_driver=False, runtime_env=hidden)
    except (ConnectionError, AuthenticationError):
        # Somebody listens there: what Ray calls a broken connection is no server that is away and may come back.
        raise StudyError(
            f"the Ray cluster at {workers.address} does not let this machine in. If it wants a token, set "
            "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's."
        ) from None


def _start_here(workers: Workers, hidden: Mapping[str, Any]) -> None:
    try:
        ray.init(
            address="local",  # Ray would join a cluster that happens to run on this machine; --address asks for one
            num_cpus=math.ceil(workers.concurrency * workers.cpus_per_trial),
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            runtime_env=hidden,
            _node_ip_address="127.0.0.1",
        )
    except OSError:  # a full disk, say, which is told in its own words
        raise
    except Exception as error:  # Ray raises Exception itself where its node is not up after half a minute
        raise RayNotStarted(
            f"Ray did not start on this machine: {str(error).rstrip('.')}. Nothing is lost. On a busy machine try "
            "again when it has less to do; `neurosearch doctor` tells what else may keep Ray from starting."
        ) from error


def _nodes() -> list[Mapping[str, float]]:
    """Returns what each living node has."""
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in found if node["Alive"]]
