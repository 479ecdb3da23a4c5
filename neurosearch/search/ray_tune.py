"""Ray's door: trials run as Tune trials on warm workers. Beside it only `ray_cluster` knows Ray in the search.

Each Tune trial holds one lease. Tune chooses the worker and watches over it; what is tried, kept and told is the desk's
and the study's business, so Tune's own ids, loggers, snapshots and restoring are of no use here and switched off.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

import ray
from ray import tune
from ray.air._internal import usage
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.error import TuneError
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import Lease, leased_trial
from neurosearch.search.ranks import ranked
from neurosearch.search.ray_cluster import Workers
from neurosearch.search.room import Room
from neurosearch.search.signals import stopping_on_signals
from neurosearch.search.together import PackRun
from neurosearch.search.trial import OpenTraining, TrialUpdate, merged, open_training, trial_updates
from neurosearch.search.watchdog import watched

_STEP_SECONDS = 1.0  # epochs shorter than this share one message to the driver
# Tune would give workers this process's keys for S3 by way of what Ray logs and shows; every node has its own.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
_take_failure = RayActorManager._actor_task_failed  # noqa: SLF001  # what `_take_death` stands in for
_LEASE, _UPDATES, _WORKER, _DEVICE, _THREADS, _CPUS = "lease", "updates", "worker", "device", "threads", "cpus"


def run_trials(desk: Desk, workers: Workers, folder: StudyFolder, trainable: "type[TrialWorker] | None" = None) -> None:
    """Runs the desk's trials until it is finished, or stopped by Ctrl-C or a request; inside `cluster`.

    Args:
        desk: Hands out the trials.
        workers: What they run on.
        folder: The study's.
        trainable: What runs a lease, if not `TrialWorker` itself.
    """
    errors: list[Exception] = []
    ENV_VARS_TO_PROPAGATE.difference_update(_KEYS)
    usage.tag_callbacks = _not_counted
    RayActorManager._actor_task_failed = _take_death  # type: ignore[assignment]  # noqa: SLF001  # see there
    with stopping_on_signals(desk.stop):
        try:
            _tuner(desk, workers, folder, trainable or TrialWorker, errors).fit()
        except TuneError as error:
            if desk.stopping == "now":
                return
            raise (errors[0] if errors else error) from error


class TrialWorker(tune.Trainable):
    """Runs one lease after the other in the same process, which keeps what it has imported and opened.

    Attributes:
        opened: Makes the training of a trial; on several GPUs, `ranks` does.
    """

    opened: OpenTraining = staticmethod(open_training)
    _words: list[tuple[Sequence[int], str]]  # heard since the last step

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
        self._take_in_words()
        until = monotonic() + _STEP_SECONDS
        done = True
        for news in self._news:
            updates += news
            if any(map(self._needs_a_word, news)) or monotonic() >= until:
                done = False
                break
        result = {"done": done, _UPDATES: json.dumps([update.to_dict() for update in merged(updates)])}
        # By its own handle the driver gives a pack its word on each trial.
        return result if self._pack is None or done else {**result, _WORKER: ray.get_runtime_context().current_actor}

    def hear(self, stopped: Sequence[int], joining: str) -> None:
        """Hears which trials of a pack stop, and as one text which ones come; the next step takes it in."""
        self._words.append((stopped, joining))

    def _take_in_words(self) -> None:
        for stopped, joining in self._words:
            if self._pack is not None:
                self._pack.hear(stopped, [leased_trial(values) for values in json.loads(joining)])
        self._words = []

    def _needs_a_word(self, update: TrialUpdate) -> bool:
        """Says whether the driver must hear of it at once: a trial waits, or a place of a pack is free."""
        return update.waits or (self._pack is not None and (update.returned or update.outcome is not None))

    def _start(self, config: Mapping[str, Any]) -> None:
        lease = Lease.from_dict(json.loads(config[_LEASE]))
        folder = lease.study
        _take_share(lease.room)
        stacks = folder.stacks(lease.trials[0].number)
        self._pack: PackRun | None = None
        self._words = []
        if len(lease.trials) > 1:
            self._pack = PackRun(lease.trials, folder, config[_DEVICE], is_measured=lease.is_measured)
            self._news = watched(self._pack.rounds(), stacks, lease.silence_seconds)
            return
        opened = self.opened if lease.room.gpus <= 1 else ranked(round(lease.room.gpus))
        updates = trial_updates(lease.trials[0], folder, config[_DEVICE], opened)
        self._news = watched(((update,) for update in updates), stacks, lease.silence_seconds)


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
        numbers = [leased.number for leased in lease.trials]
        with _remembered(self._errors):
            if len(numbers) > 1:  # who of them it was, their next tries will show
                self._desk.lose_pack(numbers, _reason_of_death(text))
            elif shortage is None:
                self._desk.lose(numbers[0], _reason_of_death(text))
            else:
                self._desk.take(TrialUpdate(numbers[0], shortage=shortage))


class _Messenger(tune.Stopper):
    """Brings what the workers tell to the desk, whose word decides at once whether a trial goes on.

    Of all that Tune calls with a result, a stopper alone is asked before the worker goes on.
    """

    def __init__(self, desk: Desk, searcher: _LeaseSearcher, errors: list[Exception]) -> None:
        self._desk = desk
        self._searcher = searcher
        self._errors = errors

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        with _remembered(self._errors):
            # Taken out, or Tune would keep them.
            told, worker = result.pop(_UPDATES, "[]"), result.pop(_WORKER, None)
            updates = [TrialUpdate.from_dict(values) for values in json.loads(told)]
            stopped = [update.number for update in updates if self._desk.take(update)]
            if worker is None:
                return bool(stopped)
            ended = [update.number for update in updates if update.outcome or update.shortage]
            return self._answered(trial_id, worker, stopped, {*stopped, *ended})

    def _answered(self, trial_id: str, worker: Any, stopped: Sequence[int], gone: Collection[int]) -> bool:
        """Tells a pack who stops and who comes in their places; returns whether nobody is left."""
        lease = self._searcher.leases[trial_id]
        left = tuple(leased for leased in lease.trials if leased.number not in gone)
        if not left:
            return True
        lease = replace(lease, trials=left)
        joining = self._desk.joining(lease) if gone else ()
        self._searcher.leases[trial_id] = replace(lease, trials=(*left, *joining))
        if gone:
            # The worker hears it before its next step, for both are told in order; if it dies, Tune says so.
            worker.hear.remote(list(stopped), json.dumps([asdict(leased) for leased in joining]))
        return False

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
            stop=_Messenger(desk, searcher, errors),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )


def _resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Returns what Ray sets aside for a lease; workers of equal amounts are used again."""
    room = Lease.from_dict(json.loads(config[_LEASE])).room
    memory = {"memory": room.memory} if room.memory else {}
    return tune.PlacementGroupFactory([{"CPU": config[_CPUS], "GPU": room.gpus, **memory}])


def _not_counted(callbacks: object) -> bool:  # noqa: ARG001  # Tune's own name
    """Stands in for Tune's count of callbacks: it serves usage statistics, which are off, and imports MLflow."""
    return False


def _take_death(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    """Stands in for Tune's taking of failures, which ends the search with a worker whose death has a name of its own.

    Such is a worker that Ray ended because its machine was low on memory. It has died like any other.
    """
    has_other_name = isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError)
    _take_failure(manager, tracked_actor_task, RayActorError(error_msg=str(exception)) if has_other_name else exception)


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
