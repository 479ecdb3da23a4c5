"""Ray's door: trials run as Tune trials on warm workers. Beside it only `ray_cluster` knows Ray in the search.

Each Tune trial holds one lease. Tune chooses the worker and watches over it; what is tried, kept and told is the desk's
and the study's business, so Tune's own ids, loggers, snapshots and restoring are of no use here and switched off.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

from ray import tune
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import Lease
from neurosearch.search.ranks import ranked
from neurosearch.search.ray_cluster import Workers
from neurosearch.search.room import Room
from neurosearch.search.signals import stopping_on_signals
from neurosearch.search.trial import OpenTraining, TrialUpdate, merged, open_training, trial_updates
from neurosearch.search.watchdog import watched

_STEP_SECONDS = 1.0  # epochs shorter than this share one message to the driver
_LEASE, _UPDATES, _DEVICE, _THREADS, _CPUS = "lease", "updates", "device", "threads", "cpus"


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
        folder = lease.study
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
    memory = {"memory": room.memory} if room.memory else {}
    return tune.PlacementGroupFactory([{"CPU": config[_CPUS], "GPU": room.gpus, **memory}])


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
