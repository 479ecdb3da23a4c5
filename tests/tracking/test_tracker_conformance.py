"""What every tracker does, the fake included."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neurosearch.names import FINAL_PREFIX, STEPS
from neurosearch.tracking.memory_tracker import MemoryStore, MemoryTracker
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import Store, connect

RUN_FIELDS = ("number", "status", "params", "epochs", "final")


@dataclass(frozen=True)
class Study:
    name: str = "digits"
    config: dict[str, Any] = field(default_factory=lambda: {"name": "digits", "seed": 3})
    seed: int = 3
    objective: str = "balanced_accuracy"
    run_id: str | None = None


@dataclass(frozen=True)
class Trial:
    number: int
    role: str = "search"
    config: dict[str, Any] = field(default_factory=lambda: {"growth": {"kind": "periodic"}, "seed": 3})
    params: dict[str, Any] = field(default_factory=lambda: {"training.learning_rate": 0.01, "model.widths": [8, 8]})
    tags: dict[str, str] = field(default_factory=lambda: {"data_hash": "abc"})
    run_id: str | None = None


@dataclass(frozen=True)
class Outcome:
    state: str = "finished"
    reason: str | None = None
    metrics: dict[str, float] = field(default_factory=lambda: {"balanced_accuracy": 0.75})
    epochs: int = 2


@dataclass(frozen=True)
class Seen:
    """A run as a reader of the store finds it."""

    status: str
    params: set[str]
    epochs: dict[int, dict[str, float]]
    final: dict[str, float]


def record(epoch: int, accuracy: float = 0.5) -> dict[str, Any]:
    metrics = {"balanced_accuracy": accuracy, "recall/class 7": 0.25, "epoch_seconds": 0.5}
    return {"epoch": epoch, "step": 10 * epoch, "metrics": metrics, "events": [], "at_rest": True}


def told(epoch: int, accuracy: float = 0.5) -> dict[str, float]:
    return {**record(epoch, accuracy)["metrics"], STEPS: 10.0 * epoch}


FINAL = {f"{FINAL_PREFIX}balanced_accuracy": 0.75}
PARAMS = {"training.learning_rate", "model.widths"}


class MemoryWorld:
    def __init__(self) -> None:
        self._store = MemoryStore()

    def tracker(self) -> MemoryTracker:
        return MemoryTracker(self._store)

    def trials(self) -> dict[int, list[Seen]]:
        found: dict[int, list[Seen]] = {}
        for run in self._store.runs.values():
            if run.number is not None:
                found.setdefault(run.number, []).append(Seen(run.status, {*run.params}, run.epochs, run.final))
        return found

    def study_status(self) -> list[str]:
        return [run.status for run in self._store.runs.values() if run.number is None]


class MlflowWorld:
    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def tracker(self) -> MlflowTracker:
        return MlflowTracker(self._store, "experiment", self._folder, gather_seconds=0.01)

    def trials(self) -> dict[int, list[Seen]]:
        found: dict[int, list[Seen]] = {}
        for run in self._runs():
            number = run.data.tags.get("neurosearch.trial")
            if number is not None:
                found.setdefault(int(number), []).append(self._seen(run))
        return found

    def study_status(self) -> list[str]:
        return [run.info.status for run in self._runs() if run.data.tags["neurosearch.role"] == "study"]

    def _runs(self) -> list[Any]:
        client = connect(self._store)
        experiment = client.get_experiment_by_name("experiment")
        return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))

    def _seen(self, run: Any) -> Seen:
        client = connect(self._store)
        epochs: dict[int, dict[str, float]] = {}
        final = {}
        for name, value in run.data.metrics.items():
            if name.startswith(FINAL_PREFIX):
                final[name] = value
                continue
            for each in client.get_metric_history(run.info.run_id, name):
                assert name not in epochs.get(each.step, {}), f"{name} of epoch {each.step} is there twice"
                epochs.setdefault(each.step, {})[name] = each.value
        return Seen(run.info.status, set(run.data.params), epochs, final)


@pytest.fixture(params=["memory", "mlflow"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryWorld | MlflowWorld:
    if request.param == "memory":
        return MemoryWorld()
    return MlflowWorld(request.getfixturevalue("embedded"), tmp_path)


def until(condition: Callable[[], Any]) -> Any:
    import time

    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return found


class TestTracker:
    def test_a_finished_trial_is_one_run_with_everything_told(self, world):
        tracker = world.tracker()
        tracker.start_study(Study())
        tracker.start_trial(Trial(7))
        tracker.log(7, [record(1), record(2, 0.75)])
        tracker.end_trial(7, Outcome(), feasible=True)
        assert tracker.close(20) == 0
        assert world.trials() == {7: [Seen("FINISHED", PARAMS, {1: told(1), 2: told(2, 0.75)}, FINAL)]}
        assert world.study_status() == ["FINISHED"]

    def test_a_failed_trial_is_a_failed_run(self, world):
        tracker = world.tracker()
        tracker.start_study(Study())
        tracker.start_trial(Trial(0))
        tracker.end_trial(0, Outcome("failed", "the loss is not finite", {}, 0), feasible=False)
        assert tracker.close(20) == 0
        assert world.trials() == {0: [Seen("FAILED", PARAMS, {}, {})]}

    def test_epochs_sent_again_are_kept_once_as_they_came_first(self, world):
        tracker = world.tracker()
        tracker.start_study(Study())
        tracker.start_trial(Trial(0))
        tracker.log(0, [record(1)])
        until(lambda: 0 in tracker.run_ids())
        tracker.log(0, [record(1, 0.9), record(2)])
        assert tracker.close(20) == 0
        assert world.trials()[0][0].epochs == {1: told(1), 2: told(2)}

    def test_a_stopped_trial_is_killed_and_goes_on_as_the_same_run(self, world):
        first = world.tracker()
        first.start_study(Study())
        first.start_trial(Trial(0))
        first.log(0, [record(1)])
        run_id = until(lambda: first.run_ids().get(0))
        assert first.close(20) == 0
        assert world.trials() == {0: [Seen("KILLED", PARAMS, {1: told(1)}, {})]}
        assert world.study_status() == ["KILLED"]

        second = world.tracker()
        second.start_study(Study(run_id=first.study_run_id))
        second.start_trial(Trial(0, run_id=run_id))
        second.log(0, [record(1, 0.9), record(2)])
        second.end_trial(0, Outcome(), feasible=True)
        assert second.close(20) == 0
        assert world.trials() == {0: [Seen("FINISHED", PARAMS, {1: told(1), 2: told(2)}, FINAL)]}
        assert world.study_status() == ["FINISHED"]

    def test_a_run_whose_id_was_never_stored_is_found_again(self, world):
        first = world.tracker()
        first.start_study(Study())
        first.start_trial(Trial(0))
        first.log(0, [record(1)])
        assert first.close(20) == 0

        second = world.tracker()
        second.start_study(Study())
        second.start_trial(Trial(0))
        second.log(0, [record(1), record(2)])
        assert second.close(20) == 0
        assert world.trials() == {0: [Seen("KILLED", PARAMS, {1: told(1), 2: told(2)}, {})]}
        assert len(world.study_status()) == 1

    def test_a_trial_started_again_after_its_end_stays_one_run(self, world):
        tracker = world.tracker()
        tracker.start_study(Study())
        tracker.start_trial(Trial(0))
        tracker.log(0, [record(1)])
        tracker.end_trial(0, Outcome("failed", "its worker died", {}, 1), feasible=False)
        until(lambda: 0 in tracker.run_ids())
        tracker.start_trial(Trial(0))
        tracker.log(0, [record(1), record(2)])
        tracker.end_trial(0, Outcome(), feasible=True)
        assert tracker.close(20) == 0
        assert world.trials() == {0: [Seen("FINISHED", PARAMS, {1: told(1), 2: told(2)}, FINAL)]}

    def test_a_tracker_that_was_told_nothing_closes(self, world):
        assert world.tracker().close(1) == 0
