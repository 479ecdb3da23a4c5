import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from neurosearch import names
from neurosearch.build.candidate import finish_candidate
from neurosearch.build.final import load_final, save_final
from neurosearch.build.remedies import (
    build_augmentation,
    build_mixing,
    build_sampling,
    build_second_stage,
    require_fit,
)
from neurosearch.build.trial import build_batches, build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.training.mixing import Mixup, Remix
from neurosearch.training.second_stage import find_head
from neurosearch.training.trainer import FinalResult, Trainer

Make = Callable[..., TrialConfig]
CPU = torch.device("cpu")
CNN = {"kind": "cnn", "widths": [4, 6]}
EVERYTHING: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": 0.01,
    "loss": "focal",
    "sampling": "progressive",
    "mixing": "remix",
    "augmentation": "crop_flip",
    "classifier": {"kind": "retrained", "epochs": 2, "loss": "label_aware_smoothing"},
}


def trained(config: TrialConfig, data: PreparedData, folder: Path) -> tuple[Trainer, FinalResult]:
    trainer = build_trainer(config, data, folder, CPU)
    for _ in trainer.epochs():
        pass
    return trainer, trainer.finish()


def test_the_config_says_what_is_done(trial: Make, digits: PreparedData) -> None:
    config = trial(training={**EVERYTHING, "mixing": {"kind": "remix", "alpha": 0.3, "kappa": 5.0, "tau": 0.25}})
    assert build_sampling(config).kind == "progressive"
    assert build_sampling(config).epochs == 2
    assert build_mixing(config) == Remix(0.3, 5.0, 0.25)
    assert build_mixing(trial(training={"epochs": 1, "mixing": "mixup"})) == Mixup(1.0)
    augmentation = build_augmentation(config, digits.manifest)
    assert augmentation is not None
    assert (augmentation.crop_padding, augmentation.flip) == (4, True)
    black = digits.preprocess()(torch.zeros(1, 8, 8))  # of every pixel alike
    assert augmentation.fill == pytest.approx((black[0, 0, 0, 0].item(),))
    assert torch.equal(black, torch.full_like(black, black[0, 0, 0, 0].item()))


def test_nothing_is_done_unless_it_is_asked_for(trial: Make, digits: PreparedData) -> None:
    plain = trial()
    assert build_mixing(plain) is build_augmentation(plain, digits.manifest) is None
    assert build_second_stage(plain, digits.manifest) is None
    assert type(build_batches(plain, digits, CPU)).__name__ == "ArrayBatches"


@pytest.mark.parametrize("growth", ["static", "nimble"])
def test_all_of_it_together_trains_resumes_and_is_delivered(
    trial: Make, digits: PreparedData, tmp_path: Path, growth: str
) -> None:
    config = trial(model=CNN, training=EVERYTHING, growth={"kind": growth})
    trainer, final = trained(config, digits, tmp_path / "whole")
    next(build_trainer(config, digits, tmp_path / "stopped", CPU).epochs())
    _, resumed = trained(config, digits, tmp_path / "stopped")
    expected = final.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.model.state_dict().items())
    assert resumed.record.metrics[names.BALANCED_ACCURACY] == final.record.metrics[names.BALANCED_ACCURACY]
    assert (final.record.epoch, final.record.step) == (4, 2 * trainer.history[-1].step)
    save_final(tmp_path, final.model, final.units)
    loaded = load_final(config, digits.manifest, tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())
    assert json.dumps(final.record.to_dict())


def test_a_candidate_of_an_epoch_gets_the_second_stage_too(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    training = {"epochs": 2, "learning_rate": 0.01, "classifier": "tau_normalised"}
    config = trial(model=CNN, training=training)
    trained(config, digits, tmp_path / "states")
    finish_candidate(config, digits, tmp_path / "states/checkpoint-000001.pt", 1, tmp_path / "one")
    _, head = find_head(load_final(config, digits.manifest, tmp_path / "one"), torch.zeros(1, 1, 8, 8))
    assert torch.allclose(head.weight.norm(dim=1), torch.ones(10))


def test_what_does_not_fit_is_refused_with_its_field(trial: Make) -> None:
    features = nn.Linear(4, 3)
    with pytest.raises(ValueError, match=r"^training\.augmentation: crops and flips need images .* shape \(4,\)\."):
        require_fit(trial(training=EVERYTHING), features, (4,))
    with pytest.raises(ValueError, match=r"^training\.classifier: it needs a network whose outputs come straight"):
        require_fit(trial(training={"epochs": 1, "classifier": "retrained"}), nn.Sequential(features, nn.ReLU()), (4,))
    zapped = {"epochs": 4, "zap_period_epochs": 1}
    with pytest.raises(ValueError, match=r"^training\.zap_period_epochs: it needs a network whose outputs come"):
        require_fit(trial(training=zapped), nn.Sequential(features, nn.ReLU()), (4,))
    with pytest.raises(ValueError, match=r"^training\.decorrelation: it needs neurons that a plain linear"):
        require_fit(trial(training={"epochs": 1, "decorrelation": 0.1}), features, (4,))
    require_fit(trial(training={"epochs": 1, "decorrelation": 0.1}), nn.Sequential(nn.Linear(4, 4), features), (4,))
    require_fit(trial(training={"epochs": 1, "classifier": "retrained"}), features, (4,))
    require_fit(trial(training=zapped), features, (4,))
    require_fit(trial(), nn.Sequential(features, nn.ReLU()), (4,))


def test_steps_of_one_example_are_refused_where_batch_normalisation_has_one_value(trial: Make) -> None:
    config = trial(training={"epochs": 1, "batch_size": 1})
    images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(3))
    images(torch.zeros(2, 3, 8, 8))
    features = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match=r"^training\.batch_size: it is 1, but the network takes mean and variance"):
        require_fit(config, features, (4,))
    require_fit(config, images, (3, 8, 8))
    require_fit(trial(training={"epochs": 1, "batch_size": 2}), features, (4,))
    assert features[1].num_batches_tracked == 0
