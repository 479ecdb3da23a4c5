import json
from copy import deepcopy

import pytest

from neurosearch.config.load import study_from_mapping
from neurosearch.config.s3 import S3Fields
from neurosearch.search.folders import ArtifactsPlace, StudyFolder
from neurosearch.search.lease import Lease
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.study import create_study
from neurosearch.search.trial import trial_updates
from neurosearch.training.records import EpochRecord

SPACE = {
    "name": "moons",
    "seed": 3,
    "size_limit": {"parameters": 100},
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[2], [4, 4], [8]]}},
    "training": {"epochs": 4, "learning_rate": {"search": "log_uniform", "low": 1e-3, "high": 1e-1}},
    "growth": {
        "search": "one_of",
        "options": [
            {"kind": "static"},
            {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.25, "high": 1.0}},
        ],
    },
    "search": {"trials": 5, "concurrency": 2},
}


def _changed(values, changes):
    values = deepcopy(values)
    for path, value in changes.items():
        *sections, field = path.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[field] = value
    return values


@pytest.fixture(scope="session")
def make_config():
    """`make_config(**{"search.trials": 3})`: a small study with some fields changed."""
    return lambda **changes: study_from_mapping(_changed(SPACE, changes), "test.yaml")


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "runs", "moons")


@pytest.fixture
def study(folder, make_config):
    study = create_study(folder, make_config())
    yield study
    study.close()


@pytest.fixture(scope="session")
def make_outcome():
    def make(value=0.5, parameters=50, **metrics):
        found = {"balanced_accuracy": value, "parameters": float(parameters), **metrics}
        return TrialOutcome("finished", None, found, 4, 1.5, (), (found,))

    return make


@pytest.fixture(scope="session")
def make_record():
    def make(epoch, value=0.5, seed_index=0, **metrics):
        record = EpochRecord(epoch, 10 * epoch, {"balanced_accuracy": value, **metrics}, (), True)
        return {**record.to_dict(), "seed_index": seed_index, "checkpoint": None}

    return make


@pytest.fixture
def far_folder(bucket, s3, tmp_path):
    """`far_folder(node)`: a study in the bucket, as one of several nodes sees it."""

    def at(node="one", endpoint=s3.endpoint, tries=1):
        cache = str(tmp_path / node)
        fields = S3Fields(endpoint=endpoint, path_style=True, cache_folder=cache, tries=tries)
        place = ArtifactsPlace(f"s3://{bucket.name}/team", fields, "t0")
        return StudyFolder(tmp_path / "runs", "moons", None, place)

    return at


class FakeTraining:
    """A training without a network: its score is a function of the config, its checkpoint a number in a file."""

    def __init__(self, config, study, folder, device):
        self.config = config
        self.path = folder / "checkpoint.json"
        self.history = [self._record(epoch) for epoch in range(1, self._done() + 1)]

    def epochs(self):
        while len(self.history) < self.config.training.epochs:
            self.history.append(self._record(len(self.history) + 1))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(len(self.history)))
            yield self.history[-1]

    def kept(self, record):
        return self.path.name

    def deliver(self):
        return self.history[-1]

    def _done(self):
        return json.loads(self.path.read_text()) if self.path.exists() else 0

    def _record(self, epoch):
        score = 1 - abs(self.config.training.learning_rate - 0.01) - 0.1 / epoch
        size = float(10 * sum(self.config.model.widths))
        score += 0.001 * (self.config.seed % 7)  # luck
        cost = epoch * size
        metrics = {"balanced_accuracy": score, "parameters": size, "neurons": size / 10, "epoch_seconds": 0.25}
        metrics["training_multiply_adds"] = cost
        return EpochRecord(epoch, 10 * epoch, metrics, (), True)


@pytest.fixture(scope="session")
def fake_training():
    return FakeTraining


@pytest.fixture(scope="session")
def run_desk():
    """Runs what a desk hands out in this process, one update of each running trial in turn; a runner without Ray."""

    def run(desk, concurrency=1, opened=FakeTraining, updates=10_000):
        running = []
        while updates > 0:
            while len(running) < concurrency and (lease := desk.next_lease()) is not None:
                # What Ray would carry is JSON.
                lease = Lease.from_dict(json.loads(json.dumps(lease.to_dict())))
                running.append(trial_updates(lease.trials[0], lease.study, "cpu", opened))
            if not running and desk.finished:
                return
            for trial in list(running):
                update = next(trial, None)
                updates -= update is not None
                if update is None or desk.take(update):
                    running.remove(trial)

    return run
