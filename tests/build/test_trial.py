from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from neurosearch.build.final import score_test_part
from neurosearch.build.memory import memory_need
from neurosearch.build.trial import build_model, build_trainer, prepare_data, prepare_settings, training_settings
from neurosearch.config.training import TrainingFields
from neurosearch.config.trial import TrialConfig
from neurosearch.data.long_tail import Imbalance
from neurosearch.data.prepared import PreparedData
from neurosearch.training.records import TrialFailed

Make = Callable[..., TrialConfig]
CPU = torch.device("cpu")


def test_equal_configs_give_equal_weights_whatever_was_drawn_before(trial: Make) -> None:
    first = build_model(trial(), (1, 8, 8), 10).state_dict()
    torch.rand(3)
    again = build_model(trial(), (1, 8, 8), 10).state_dict()
    other = build_model(trial(seed=1), (1, 8, 8), 10).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_building_a_model_leaves_the_global_generator_alone(trial: Make) -> None:
    before = torch.random.get_rng_state()
    build_model(trial(), (1, 8, 8), 10)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_config_says_how_data_are_thinned_and_split(trial: Make) -> None:
    config = trial(data={"kind": "digits", "imbalance": {"profile": "step", "ratio": 5}, "resize": [4, 6]})
    settings = prepare_settings(config.data)
    assert settings.imbalance == Imbalance("step", 5.0)
    assert (settings.validation_share, settings.split_seed, settings.resize) == (0.2, 0, (4, 6))
    assert prepare_settings(trial().data).imbalance is None


def test_data_are_prepared_once_for_all_trials_that_share_them(trial: Make, digits: PreparedData) -> None:
    folder = digits.folder.parent
    before = digits.folder.stat().st_mtime_ns
    assert prepare_data(trial(seed=5, model={"kind": "cnn", "widths": [2]}), folder).folder == digits.folder
    assert digits.folder.stat().st_mtime_ns == before
    assert prepare_data(trial(data={"kind": "digits", "split_seed": 1}), folder).folder != digits.folder


def test_every_training_field_reaches_the_trainer() -> None:
    fields = TrainingFields(
        epochs=7, momentum=0.5, schedule="step", drops=(0.5,), warmup_epochs=2, bf16=True, compile=True
    )
    settings = training_settings(fields, seed=3)
    of_the_batches = {"batch_size", "sampling", "mixing", "augmentation"}
    of_the_task = {"loss", "deferred_reweighting_share", "posthoc_tau", "classifier"}
    of_zapping = {"zap_period_epochs", "zap_stop_share"}
    given = fields.model_dump(exclude={"bf16", "compile"} | of_the_batches | of_the_task | of_zapping)
    assert {name: getattr(settings, name) for name in given} == given
    assert (settings.amp, settings.compiled, settings.seed) == (True, True, 3)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"model": {"kind": "cnn", "widths": [3, 4]}},
        {"training": {"epochs": 3}, "growth": {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1}},
        {"growth": {"kind": "nimble", "target_share": 0.5}},
    ],
)
def test_every_kind_trains_to_a_plain_network(
    trial: Make, digits: PreparedData, tmp_path: Path, sections: dict[str, Any]
) -> None:
    config = trial(**sections)
    trainer = build_trainer(config, digits, tmp_path, CPU)
    records = list(trainer.epochs())
    final = trainer.finish()
    assert [record.epoch for record in records] == list(range(1, config.training.epochs + 1))
    assert 0.0 <= final.record.metrics["balanced_accuracy"] <= 1.0
    assert final.model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert final.record.metrics["parameters"] == sum(each.numel() for each in final.model.parameters())


def test_a_trial_whose_steps_cannot_be_compiled_says_so_before_its_first(
    trial: Make, digits: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    config = trial(training={"epochs": 1, "compile": True})
    with pytest.raises(TrialFailed, match="training.compile is on, but there is no C.. compiler no-such-compiler"):
        build_trainer(config, digits, tmp_path, CPU)


def test_a_trainer_goes_on_from_its_newest_checkpoint(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    whole = [record.metrics["task_loss"] for record in build_trainer(trial(), digits, tmp_path / "a", CPU).epochs()]
    stopped = build_trainer(trial(), digits, tmp_path / "b", CPU).epochs()
    next(stopped)
    del stopped
    resumed = build_trainer(trial(), digits, tmp_path / "b", CPU)
    assert len(resumed.history) == 1
    assert [record.metrics["task_loss"] for record in resumed.epochs()] == whole[1:]


def test_a_trial_on_streamed_data_is_bit_for_bit_the_one_on_data_that_lies_normalised(
    trial: Make, digits: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosearch.data.writing.NORMALISED_BYTES", 0)
    config = trial(growth={"kind": "periodic", "period_epochs": 2, "grown_epochs": 1})
    streamed = prepare_data(config, tmp_path / "data")
    assert (streamed.manifest.is_normalised, digits.manifest.is_normalised) == (False, True)
    weights, scores = [], []
    for data in (streamed, digits):
        trainer = build_trainer(config, data, tmp_path / str(len(weights)), CPU)
        losses = [record.metrics["task_loss"] for record in trainer.epochs()]
        model = trainer.finish().model
        weights.append(model.state_dict())
        scores.append((losses, score_test_part(model.eval(), data)))
    assert scores[0] == scores[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_data_that_is_streamed_takes_no_room_on_a_gpu(
    trial: Make, digits: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosearch.data.writing.NORMALISED_BYTES", 0)
    streamed = prepare_data(trial(), tmp_path / "data")
    needs = [memory_need(trial(), data.manifest, on_gpu=True).data for data in (streamed, digits)]
    assert needs == [8 * 1258, (8 + 4 * 64) * 1258]
