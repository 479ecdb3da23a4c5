from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.search.few_training import FewTraining, tiny_study
from neurosearch.search.folders import StudyFolder
from neurosearch.search.summaries import missing_group

PERIODIC = {"kind": "periodic", "period_epochs": {"search": "int", "low": 4, "high": 8}, "grown_epochs": 3}


def study(**sections: Any) -> StudyConfig:
    values = {
        "name": "whole",
        "size_limit": {"parameters": 100},
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[8], [16]]}},
        "training": {"epochs": 200, "checkpoint_every_epochs": 50},
        "growth": {"search": "one_of", "options": [{"kind": "static"}, PERIODIC, {"kind": "nimble"}]},
        "search": {"trials": 40, "concurrency": 7, "seeds": 3, "gpus_per_trial": "auto"},
        "storage": {"database": "sqlite:///elsewhere.db"},
    }
    return study_from_mapping({**values, **sections}, "whole")


def only_trial(config: StudyConfig) -> TrialConfig:
    assert config.template.names == ()
    return config.trial(lambda _name, _node: None)


def test_the_trial_grows_by_a_schedule_if_any_does_and_is_as_short_as_that_allows(tmp_path: Path) -> None:
    trial = only_trial(tiny_study(study(), tmp_path))
    assert kind_of(trial.growth) == "periodic"
    assert trial.training.epochs == 5, "the least of which the first 70 % hold three grown epochs"
    assert trial.training.checkpoint_every_epochs == 1


@pytest.mark.parametrize(("growth", "epochs"), [({"kind": "static"}, 2), ({"kind": "nimble"}, 2)])
def test_what_has_no_schedule_is_two_epochs_long(growth: dict[str, Any], epochs: int, tmp_path: Path) -> None:
    assert only_trial(tiny_study(study(growth=growth), tmp_path)).training.epochs == epochs


def test_a_training_of_one_epoch_stays_one(tmp_path: Path) -> None:
    one = study(training={"epochs": 1}, growth={"kind": "static"})
    assert only_trial(tiny_study(one, tmp_path)).training.epochs == 1


def test_nothing_of_the_study_s_own_storage_is_touched(tmp_path: Path) -> None:
    fields = tiny_study(study(tracking={"uri": "http://127.0.0.1:1"}), tmp_path).study
    assert (fields.storage.folder, fields.storage.database, fields.tracking.uri) == (str(tmp_path), None, None)
    assert (fields.search.trials, fields.search.concurrency, fields.search.seeds) == (1, 1, 1)
    assert fields.search.gpus_per_trial == 1.0


def test_a_few_training_takes_two_steps_an_epoch_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    tiny = tiny_study(study(growth={"kind": "static"}, training={"epochs": 9}), tmp_path)
    folder, trial = StudyFolder(tmp_path, "whole"), only_trial(tiny)
    training = FewTraining(trial, folder, folder.training(0, 0), "cpu")
    assert next(training.epochs()).step == 2
    again = FewTraining(trial, folder, folder.training(0, 0), "cpu")
    assert [record.step for record in again.epochs()] == [4]
    assert again.deliver().metrics["accuracy"] >= 0


def test_examples_that_lie_class_by_class_are_judged_though_few_are_scored(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(3), 3000)
    x = np.random.default_rng(0).normal(size=(len(labels), 2)).astype(np.float32)
    np.savez(tmp_path / "sorted.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    data = {"kind": "npz", "path": str(tmp_path / "sorted.npz"), "validation_share": 0.5}
    wanted = ("parameters", "minimize"), ("tail_recall", "maximize"), ("head_recall", "maximize")
    objectives = [{"metric": metric, "direction": direction} for metric, direction in wanted]
    whole = study(growth={"kind": "static"}, data=data, search={"objectives": objectives}, training={"epochs": 2})
    tiny = tiny_study(whole, tmp_path)
    training = FewTraining(only_trial(tiny), StudyFolder(tmp_path, "whole"), tmp_path / "states", "cpu")
    record = next(training.epochs())
    assert "tail_recall" not in record.metrics
    assert missing_group([record.to_dict()], tiny.study) is None
    assert [each.metric for each in tiny.study.search.objectives] == ["parameters", "balanced_accuracy"]
