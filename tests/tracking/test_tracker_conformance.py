"""What every tracker does, the fake included."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neurosearch.names import FINAL_PREFIX, STEPS
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import StudyInfo, TrialInfo
from neurosearch.tracking.memory_tracker import MemoryStore, MemoryTracker
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import Store, connect


def study(run_id: str | None = None) -> StudyInfo:
    return StudyInfo("digits", {"name": "digits", "seed": 3}, 3, "balanced_accuracy", run_id)


def trial(number: int, run_id: str | None = None) -> TrialInfo:
    config = {"growth": {"kind": "periodic"}, "seed": 3}
    params = {"training.learning_rate": 0.01, "model.widths": [8, 8]}
    return TrialInfo(number, "search", config, params, (3,), {"data_hash": "abc"}, run_id)


def finished(epochs: int = 2) -> TrialOutcome:
    return TrialOutcome("finished", None, {"balanced_accuracy": 0.75}, epochs, 1.0, ())


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
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return found


class TestTracker:
    def test_a_finished_trial_is_one_run_with_everything_told(self, world):
        tracker = world.tracker()
        tracker.start_study(study())
        tracker.start_trial(trial(7))
        tracker.log(7, [record(1), record(2, 0.75)])
        tracker.end_trial(7, finished(), feasible=True)
        assert tracker.close(120) == 0
        assert world.trials() == {7: [Seen("FINISHED", PARAMS, {1: told(1), 2: told(2, 0.75)}, FINAL)]}
        assert world.study_status() == ["FINISHED"]

    def test_a_failed_trial_is_a_failed_run(self, world):
        tracker = world.tracker()
        tracker.start_study(study())
        tracker.start_trial(trial(0))
        tracker.end_trial(0, TrialOutcome.failed("the loss is not finite", 0), feasible=False)
        assert tracker.close(120) == 0
        assert world.trials() == {0: [Seen("FAILED", PARAMS, {}, {})]}

    def test_epochs_sent_again_are_kept_once_as_they_came_first(self, world):
        tracker = world.tracker()
        tracker.start_study(study())
        tracker.start_trial(trial(0))
        tracker.log(0, [record(1)])
        until(lambda: 0 in tracker.run_ids())
        tracker.log(0, [record(1, 0.9), record(2)])
        assert tracker.close(120) == 0
        assert world.trials()[0][0].epochs == {1: told(1), 2: told(2)}

    def test_a_stopped_trial_is_killed_and_goes_on_as_the_same_run(self, world):
        first = world.tracker()
        first.start_study(study())
        first.start_trial(trial(0))
        first.log(0, [record(1)])
        run_id = until(lambda: first.run_ids().get(0))
        assert first.close(120) == 0
        assert world.trials() == {0: [Seen("KILLED", PARAMS, {1: told(1)}, {})]}
        assert world.study_status() == ["KILLED"]

        second = world.tracker()
        second.start_study(study(first.study_run_id))
        second.start_trial(trial(0, run_id))
        second.log(0, [record(1, 0.9), record(2)])
        second.end_trial(0, finished(), feasible=True)
        assert second.close(120) == 0
        assert world.trials() == {0: [Seen("FINISHED", PARAMS, {1: told(1), 2: told(2)}, FINAL)]}
        assert world.study_status() == ["FINISHED"]

    def test_a_run_whose_id_was_never_stored_is_found_again(self, world):
        first = world.tracker()
        first.start_study(study())
        first.start_trial(trial(0))
        first.log(0, [record(1)])
        assert first.close(120) == 0

        second = world.tracker()
        second.start_study(study())
        second.start_trial(trial(0))
        second.log(0, [record(1), record(2)])
        assert second.close(120) == 0
        assert world.trials() == {0: [Seen("KILLED", PARAMS, {1: told(1), 2: told(2)}, {})]}
        assert len(world.study_status()) == 1

    def test_a_trial_started_again_after_its_end_stays_one_run(self, world):
        tracker = world.tracker()
        tracker.start_study(study())
        tracker.start_trial(trial(0))
        tracker.log(0, [record(1)])
        tracker.end_trial(0, TrialOutcome.failed("its worker died", 1), feasible=False)
        until(lambda: 0 in tracker.run_ids())
        tracker.start_trial(trial(0))
        tracker.log(0, [record(1), record(2)])
        tracker.end_trial(0, finished(), feasible=True)
        assert tracker.close(120) == 0
        assert world.trials() == {0: [Seen("FINISHED", PARAMS, {1: told(1), 2: told(2)}, FINAL)]}

    def test_what_is_told_of_a_trial_that_never_started_is_missing(self, world):
        tracker = world.tracker()
        tracker.start_study(study())
        tracker.log(4, [record(1), record(2)])
        tracker.end_trial(4, TrialOutcome.failed("its data cannot be used", 0), feasible=False)
        assert tracker.close(120) == 3
        assert world.trials() == {}

    def test_a_tracker_that_was_told_nothing_closes(self, world):
        assert world.tracker().close(1) == 0
