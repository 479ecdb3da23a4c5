"""Real searches on a real Ray of this machine. Each starts a cluster of its own, so there are few."""

import ctypes
import os
import signal
from pathlib import Path

import pytest
import torch

from neurosearch.config.load import study_from_mapping
from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.desk import Desk
from neurosearch.search.outcome import read_result
from neurosearch.search.ray_cluster import Workers, cluster
from neurosearch.search.ray_tune import TrialWorker, run_trials
from neurosearch.search.run import run_search
from neurosearch.search.seams import SilentListener, SilentTracker
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study
from neurosearch.search.summaries import best_seed
from neurosearch.search.trial import open_training
from neurosearch.tracking.memory_tracker import MemoryStore, MemoryTracker

pytestmark = pytest.mark.ray

BASE = {
    "name": "moons",
    "size_limit": {"parameters": 1000},
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[4], [8]]}},
    "growth": {"kind": "static"},
}


def make_study(training, search):
    return study_from_mapping({**BASE, "training": training, "search": {"concurrency": 2, **search}}, "test.yaml")


class StopAtFirstRecord(SilentListener):
    """Requests a stop as `neurosearch stop` does, from the study's storage."""

    def __init__(self, folder, how="soon"):
        self.folder, self.how = folder, how

    def on_records(self, number, records):
        StoredStudy(self.folder).request_stop(self.how)


class InterruptAtFirstRecord(SilentListener):
    """Presses Ctrl-C once."""

    def __init__(self):
        self.pressed = False

    def on_records(self, number, records):
        if not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)


class KillWorkerAtFirstRecord(SilentListener):
    """Kills the worker that runs the first trial that tells something."""

    def __init__(self):
        self.killed, self.started = None, []

    def on_trial_started(self, trial):
        self.started.append(trial.number)

    def on_records(self, number, records):
        if self.killed is None:
            self.killed = number
            os.kill(worker_of(number), signal.SIGKILL)


def worker_of(number):
    """Returns the id of the worker process, a descendant of this one, that has the trial's checkpoint folder open."""
    for process in descendants(os.getpid()):
        title = Path(f"/proc/{process}/cmdline").read_bytes()
        if title.startswith(b"ray::") and b"TrialWorker" in title:
            return process
    raise AssertionError(f"no worker runs trial {number}")


def descendants(process):
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for child in map(int, children):
        yield child
        yield from descendants(child)


@pytest.mark.slow
def test_a_search_runs_its_trials_fails_one_alone_and_trains_the_control(folder):
    rates = {"search": "choice", "options": [0.01, 1e30]}
    config = make_study(
        {"epochs": 2, "learning_rate": rates, "optimizer": "sgd"}, {"trials": 10, "finalists": 1, "fresh_seeds": 2}
    )
    store = MemoryStore()
    result = run_search(config, folder, tracker=MemoryTracker(store))
    trials = StoredStudy(folder).trials()
    searched = [trial for trial in trials if trial.role == "search"]
    assert len(searched) == 4  # the whole space, once
    assert sorted(trial.state for trial in searched) == ["failed", "failed", "finished", "finished"]
    assert all("loss became" in trial.reason for trial in trials if trial.state == "failed")
    assert result.control.role == "control"
    assert result.best.state == result.control.state == "finished"
    assert result.control.metrics["parameters"] <= 1000
    (finalist,) = (trial for trial in trials if trial.role == "finalist")
    assert finalist.seeds == result.control.seeds
    assert len(finalist.per_seed) == len(result.control.per_seed) == 2
    assert (result.stopped, result.halted, result.untold) == (False, None, 0)
    assert len(store.runs) == 1 + len(trials)
    best = result.best
    assert (folder.training(best.number, best_seed(best, config.study)) / "final.pt").exists()
    assert folder.config.read_text().startswith("name: moons\n")


@pytest.mark.slow
def test_a_search_stopped_by_ctrl_c_or_by_request_goes_on_where_it_was(folder):
    rate = {"search": "log_uniform", "low": 1e-3, "high": 1e-2}
    search = {"trials": 2, "control": False, "concurrency": 1}
    config = make_study({"epochs": 100_000, "learning_rate": rate}, search)
    store = MemoryStore()
    handler = signal.getsignal(signal.SIGINT)
    first = run_search(config, folder, tracker=MemoryTracker(store), listener=InterruptAtFirstRecord())
    assert signal.getsignal(signal.SIGINT) is handler
    assert (first.stopped, first.halted, first.best) == (True, None, None)
    assert first.counts["running"] == 1
    before = {run.number: len(run.epochs) for run in store.runs.values()}

    second = run_search(config, folder, resume=True, tracker=MemoryTracker(store), listener=StopAtFirstRecord(folder))
    assert (second.stopped, second.counts) == (True, first.counts)
    runs = [run for run in store.runs.values() if run.number is not None]
    assert len(runs) == 1
    assert all(list(run.epochs) == list(range(1, len(run.epochs) + 1)) for run in runs)
    assert sum(len(run.epochs) for run in runs) > sum(before.values())


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint(folder):
    rate = {"search": "log_uniform", "low": 1e-3, "high": 1e-2}
    search = {"trials": 2, "control": False, "finalists": 0, "concurrency": 1}
    config = make_study({"epochs": 300, "learning_rate": rate}, search)
    store, listener = MemoryStore(), KillWorkerAtFirstRecord()
    result = run_search(config, folder, tracker=MemoryTracker(store), listener=listener)
    assert result.counts["finished"] == 2
    assert listener.started.count(listener.killed) == 2
    runs = [run for run in store.runs.values() if run.number is not None]
    assert all(list(run.epochs) == list(range(1, 301)) for run in runs)


@pytest.mark.slow
def test_a_stop_now_does_not_wait_for_running_trials(folder):
    rate = {"search": "log_uniform", "low": 1e-3, "high": 1e-2}
    config = make_study({"epochs": 100_000, "learning_rate": rate}, {"trials": 2, "control": False})
    result = run_search(config, folder, listener=StopAtFirstRecord(folder, "now"))
    assert (result.stopped, result.halted, result.counts["running"]) == (True, None, 2)


class TroubledTraining:
    """A real training that gets into trouble after its first epoch, if its batch size asks for it."""

    def __init__(self, config, study, folder, device):
        self._training = open_training(config, study, folder, device)
        self._trouble = {17: hang, 18: ask_for_too_much}.get(config.training.batch_size)
        self._resumed = bool(self._training.history)

    @property
    def history(self):
        return self._training.history

    def epochs(self):
        for record in self._training.epochs():
            yield record
            if self._trouble is not None and not self._resumed:
                self._trouble()

    def kept(self, record):
        return self._training.kept(record)

    def deliver(self):
        return self._training.deliver()


def hang():
    ctypes.PyDLL(None).sleep(600)  # with Python's lock held


def ask_for_too_much():
    torch.empty(2**58, dtype=torch.uint8)


class TroubledWorker(TrialWorker):
    opened = TroubledTraining


@pytest.mark.slow
def test_a_hang_ends_one_trial_and_memory_that_ran_out_is_tried_again(folder):
    sizes = {"search": "choice", "options": [16, 17, 18]}
    search = {"trials": 3, "concurrency": 2, "silence_seconds": 20}  # on a busy machine a worker's imports take ten
    fixed = {**BASE, "model": {"kind": "mlp", "widths": [4]}, "training": {"epochs": 3, "batch_size": sizes}}
    config = study_from_mapping({**fixed, "search": search}, "test.yaml")
    study = create_study(folder, config)
    desk = Desk(study, SilentTracker(), SilentListener(), lambda trial: {}, lambda: ())
    workers = Workers(2, 1.0, 0.0, None)
    with cluster(workers, folder):
        opened_data(TrialConfig.model_validate(config.trial(lambda name, node: node.ends[0])), folder)
        run_trials(desk, workers, folder, TroubledWorker)
    study.close()
    trials = {trial.config["training"]["batch_size"]: trial for trial in StoredStudy(folder).trials()}
    assert {size: trial.state for size, trial in trials.items()} == {16: "finished", 17: "failed", 18: "finished"}
    hung = trials[17]
    assert hung.reason.startswith("it said nothing for longer than search.silence_seconds allows")
    assert "in hang" in folder.stacks(hung.number).read_text()
    assert str(folder.stacks(hung.number)) in hung.reason
    assert [record["epoch"] for record in read_result(folder.result(trials[18].number)).records] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [250, 9000], ids=["while it starts", "while it trains"])
def test_a_worker_that_was_ended_for_memory_is_tried_again_alone_and_then_fails_its_trial(
    folder, monkeypatch, milliseconds
):
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")  # of the machine: less than any worker takes
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", str(milliseconds))
    config = make_study({"epochs": 100_000}, {"trials": 1, "concurrency": 2, "control": False, "finalists": 0})
    result = run_search(config, folder)
    assert result.counts["failed"] == 1
    (trial,) = StoredStudy(folder).trials()
    assert trial.reason.startswith("memory ran out: ")
    assert "so its worker was ended. Lower search.concurrency" in trial.reason
    assert trial.reason.endswith("This was its second try, with no other trial beside it.")


def test_a_pack_stops_single_trials_and_takes_others_in(folder):
    training = {"epochs": 8, "batch_size": 256, "learning_rate": {"search": "log_uniform", "low": 1e-4, "high": 1e-1}}
    stopping = {"kind": "halving", "reduction": 2}
    search = {"trials": 8, "concurrency": 1, "packing": 4, "stopping": stopping, "finalists": 0, "control": False}
    result = run_search(make_study(training, search), folder)
    assert result.halted is None
    assert result.counts["finished"] + result.counts["stopped"] == 8
    assert result.counts["stopped"] >= 1
    for trial in StoredStudy(folder).trials():
        epochs = [record["epoch"] for record in read_result(folder.result(trial.number)).records]
        assert epochs == list(range(1, trial.epochs + 1))


def test_the_trials_of_a_pack_whose_worker_dies_are_run_again_alone(folder, tmp_path):
    marker = tmp_path / "died"

    class Dying(TrialWorker):
        def step(self):
            told = super().step()
            if self._pack is not None and not marker.exists():
                marker.touch()
                os._exit(1)
            return told

    config = make_study({"epochs": 3, "batch_size": 256}, {"trials": 2, "packing": 2, "concurrency": 1})
    study = create_study(folder, config)
    desk = Desk(study, SilentTracker(), SilentListener(), lambda _trial: {}, lambda: ())
    workers = Workers(1, 1.0, 0.0, None)
    with cluster(workers, folder):
        opened_data(TrialConfig.model_validate(config.trial(lambda _name, node: node.ends[0])), folder)
        run_trials(desk, workers, folder, Dying)
    assert marker.exists()
    assert [trial.state for trial in study.stored.trials()] == ["finished"] * 2
    study.close()
