"""Ray's door: trials run as Tune trials on warm workers. Nothing else in the search knows Ray.

Each Tune trial holds one lease. Tune chooses the worker and watches over it; what is tried, kept and told is the desk's
and the study's business, so Tune's own ids, loggers, snapshots and restoring are of no use here and switched off.
"""

import json
import logging
import math
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from neurosearch.search.desk import Desk
from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import Lease
from neurosearch.search.log_files import ray_log, session_line
from neurosearch.search.ranks import ranked
from neurosearch.search.room import Room
from neurosearch.search.signals import stopping_on_signals
from neurosearch.search.surroundings import environment, logging_to
from neurosearch.search.trial import OpenTraining, TrialUpdate, merged, open_training, trial_updates
from neurosearch.search.watchdog import watched

_STEP_SECONDS = 1.0  # epochs shorter than this share one message to the driver
_CONNECT_SECONDS = 5.0
AUTO = "auto"  # Ray's own word for the cluster that this machine is a node of
_OBJECT_STORE_BYTES = 100 * 2**20  # close to Ray's minimum: data goes by memory map, only small messages by Ray
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output can be switched off
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
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
_LEASE, _UPDATES, _DEVICE, _THREADS, _CPUS = "lease", "updates", "device", "threads", "cpus"


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


def gpu_bytes() -> int:
    """Returns how large the memory of one of the cluster's GPUs is; inside `cluster`. All are taken to be alike."""

    @ray.remote(num_gpus=1)
    def measured() -> int:
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory)

    found: int = ray.get(measured.remote())
    return found


@contextmanager
def cluster(workers: Workers, folder: StudyFolder) -> Iterator[None]:
    """Connects to a Ray cluster for the block, or makes one of this machine that listens on loopback only.

    What Ray says in this process goes to the study's logs.

    Raises:
        StudyError: The cluster cannot be reached, or has not what one trial needs.
    """
    with environment(_ENVIRONMENT), logging_to(ray_log(folder), "ray", _NOISE):
        _start(workers)
        try:
            logging.getLogger("ray").info(session_line(ray.get_runtime_context().get_session_name()))
            _check_resources(workers)
            yield
        finally:
            ray.shutdown()


def run_trials(desk: Desk, workers: Workers, folder: StudyFolder, trainable: "type[TrialWorker] | None" = None) -> None:
    """Runs the desk's trials until it is finished, or stopped by Ctrl-C or a request; inside `cluster`.

    Args:
        desk: Hands out the trials.
        workers: What they run on.
        folder: The study's.
        trainable: What runs a lease, if not `TrialWorker` itself.
    """
    errors: list[Exception] = []
    with stopping_on_signals(desk.stop):
        try:
            _tuner(desk, workers, folder, trainable or TrialWorker, errors).fit()
        except TuneError as error:
            if desk.stopping == "now":
                return
            raise (errors[0] if errors else error) from error


class TrialWorker(tune.Trainable):
    """Runs the trials of one lease after the other in the same process, which keeps what it has imported and opened.

    Attributes:
        opened: Makes the training of a trial; on several GPUs, `ranks` does.
    """

    opened: OpenTraining = staticmethod(open_training)

    def setup(self, config: dict[str, Any]) -> None:
        """Imports what trainings need, so that no trial's time contains it, and starts on the first lease."""
        import torch

        import_module("neurosearch.build.final")
        torch.set_num_threads(config[_THREADS])
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Starts on the next lease."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains for about a second, at least one epoch, or until the trial waits; returns what is new as one text."""
        updates: list[TrialUpdate] = []
        until = monotonic() + _STEP_SECONDS
        done = True
        for update in self._updates:
            updates.append(update)
            if update.waits or monotonic() >= until:
                done = False
                break
        return {"done": done, _UPDATES: json.dumps([update.to_dict() for update in merged(updates)])}

    def _start(self, config: Mapping[str, Any]) -> None:
        lease = Lease.from_dict(json.loads(config[_LEASE]))
        folder = StudyFolder.at(lease.study_folder)
        _take_share(lease.room)
        opened = self.opened if lease.room.gpus <= 1 else ranked(round(lease.room.gpus))
        self._updates: Iterator[TrialUpdate] = chain.from_iterable(
            watched(
                trial_updates(trial, folder, config[_DEVICE], opened),
                folder.stacks(trial.number),
                lease.silence_seconds,
            )
            for trial in lease.trials
        )


class _LeaseSearcher(Searcher):
    """Gives Tune a lease for every trial it may start."""

    def __init__(self, desk: Desk, constants: Mapping[str, Any]) -> None:
        super().__init__()
        self._desk = desk
        self._constants = constants
        self.leases: dict[str, Lease] = {}

    def suggest(self, trial_id: str) -> Any:  # Tune's own type forgets the text FINISHED
        lease = self._desk.next_lease()
        if lease is None:
            return Searcher.FINISHED if self._desk.finished else None
        self.leases[trial_id] = lease
        return {_LEASE: json.dumps(lease.to_dict()), **self._constants}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: `_Clerk` hears of everything."""

    def save(self, checkpoint_path: str) -> None:
        """Keeps nothing: the study's storage is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing."""


class _Clerk(tune.Callback):
    """Tells the desk of lost workers, and ends the search when it shall stop now."""

    def __init__(self, desk: Desk, searcher: _LeaseSearcher, errors: list[Exception]) -> None:
        self._desk = desk
        self._searcher = searcher
        self._errors = errors

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._desk.stopping == "now":
            raise TuneError  # the one way out of its loop that does not wait for trials

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._searcher.leases.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        lease = self._searcher.leases.pop(trial.trial_id)
        text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        shortage = _shortage(text)
        with _remembered(self._errors):
            for leased in lease.trials:
                if shortage is None:
                    self._desk.lose(leased.number, _reason_of_death(text))
                else:
                    self._desk.take(TrialUpdate(leased.number, shortage=shortage))


class _Messenger(tune.Stopper):
    """Brings what the workers tell to the desk, whose word decides at once whether a trial goes on.

    Of all that Tune calls with a result, a stopper alone is asked before the worker goes on.
    """

    def __init__(self, desk: Desk, errors: list[Exception]) -> None:
        self._desk = desk
        self._errors = errors

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        with _remembered(self._errors):
            updates = json.loads(result.pop(_UPDATES, "[]"))  # taken out, or Tune would keep it
            words = [self._desk.take(TrialUpdate.from_dict(values)) for values in updates]
            return any(words)

    def stop_all(self) -> bool:
        return False


@contextmanager
def _remembered(errors: list[Exception]) -> Iterator[None]:
    """Keeps an error of ours, of which Tune passes on the text alone."""
    try:
        yield
    except Exception as error:
        errors.append(error)
        raise


def _tuner(
    desk: Desk, workers: Workers, folder: StudyFolder, trainable: type[TrialWorker], errors: list[Exception]
) -> tune.Tuner:
    constants = {
        _DEVICE: "cuda" if workers.gpus_per_trial else "cpu",
        _THREADS: max(1, math.floor(workers.cpus_per_trial)),
        _CPUS: workers.cpus_per_trial,
    }
    searcher = _LeaseSearcher(desk, constants)
    return tune.Tuner(
        tune.with_resources(trainable, _resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=workers.concurrency,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder.logs),
            verbose=0,
            callbacks=[_Clerk(desk, searcher, errors)],
            stop=_Messenger(desk, errors),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )


def _resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Returns what Ray sets aside for a lease; workers of equal amounts are used again."""
    room = Lease.from_dict(json.loads(config[_LEASE])).room
    return tune.PlacementGroupFactory([{"CPU": config[_CPUS], "GPU": room.gpus}])


def _take_share(room: Room) -> None:
    """Keeps this process within its share of a GPU's memory, so that it cannot take what is another trial's."""
    if 0 < room.gpus < 1:
        from neurosearch.training.memory import limit_gpu_share

        limit_gpu_share(room.gpus)


def _name(trial: Trial) -> str:
    return str(trial.trial_id)


def _shortage(text: str) -> str | None:
    """Returns in words that Ray ended a worker because its machine was low on memory; None if it did not.

    Where nobody watches, the operating system does the same, which cannot be told from any other kill.
    """
    found = re.search(r"running low on memory\. Memory on the node \(.*?\) was (\S+) used / (\S+) limit", text)
    if found is None:
        return None
    return (
        f"memory ran out: {found[1]} of its machine's {found[2]} were in use, so its worker was ended. Lower "
        "search.concurrency, training.batch_size or the widths."
    )


def _reason_of_death(text: str) -> str:
    """Returns in one sentence what Ray wrote about a worker that failed, for people who do not know Ray."""
    # What follows "Some common causes" is advice on Ray's own options.
    detail = re.search(r"Worker exit detail: (.+?)\.?( (There are|Some common) .*)?$", text, re.MULTILINE)
    if detail is None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"its worker failed: {lines[-1] if lines else 'no word of why'}"
    remedy = "If memory ran out, lower search.concurrency, training.batch_size or the widths."
    return f"its worker process died: {detail[1]}. {remedy}"


def _start(workers: Workers) -> None:
    if workers.address is None:
        ray.init(
            address="local",  # Ray would join a cluster that happens to run on this machine; --address asks for one
            num_cpus=math.ceil(workers.concurrency * workers.cpus_per_trial),
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
        )
        return
    if workers.address != AUTO:
        check_address(workers.address)
    ray.init(address=workers.address, log_to_driver=False)


def check_address(address: str) -> None:
    """Checks that something listens where a cluster should be; Ray itself would try for minutes.

    Raises:
        StudyError: It is no address of a cluster, or nobody answers.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        # ray:// would run the search on the cluster, away from the study's folder and its lock.
        raise StudyError(f"{address!r} is no address of a Ray cluster; write host:port, such as 10.0.0.7:6379.")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise StudyError(
            f"no Ray cluster answers at {address}: {error.strerror or error}. Start it with `ray start --head`, or "
            "mend the address."
        ) from error


def _check_resources(workers: Workers) -> None:
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for field, kind, needed in (
        ("search.cpus_per_trial", "CPU", workers.cpus_per_trial),
        ("search.gpus_per_trial", "GPU", workers.gpus_per_trial),
    ):
        if needed > found.get(kind, 0):
            raise StudyError(f"{field} is {needed:g}, but there are {found.get(kind, 0):g} of {kind}. Lower it.")
