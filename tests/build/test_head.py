from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurosearch.build.final import load_final, save_final, score_test_part
from neurosearch.build.memory import memory_need
from neurosearch.build.pretrained import load_pretrained
from neurosearch.build.task import build_tally
from neurosearch.build.trial import build_model, build_trainer, prepare_data
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.export.deliver import deliver
from neurosearch.models.head import CosineLinear, Shifted
from neurosearch.training.trainer import Trainer

Make = Callable[..., TrialConfig]
CPU = torch.device("cpu")
GROWTH = {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1, "stop_share": 1.0}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "widths": [6, 4]},
    "cnn": {"kind": "cnn", "widths": [4, 5]},
    "resnet_cifar": {"kind": "resnet_cifar", "widths": [4, 6], "inner_widths": [4, 5], "num_blocks": 1},
    "torchvision": {"kind": "torchvision", "name": "resnet18"},
}
LDAM = {
    "epochs": 3,
    "learning_rate": 0.01,
    "loss": {"kind": "ldam", "scale": 10.0},
    "deferred_reweighting_share": 0.3,
    "posthoc_tau": 0.5,
}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few colour images of two classes, one rare."""
    folder = tmp_path_factory.mktemp("colours")
    y = np.array([0] * 12 + [1] * 4)
    x = np.random.default_rng(0).random((16, 16, 16, 3), dtype=np.float32) + y[:, None, None, None]
    np.savez(folder / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return folder


@pytest.fixture(params=MODELS)
def config(request: pytest.FixtureRequest, trial: Make, colours: Path) -> TrialConfig:
    training, growth = LDAM, GROWTH
    if request.param == "torchvision":  # its steps and its changes take long: one event is enough
        training, growth = {**LDAM, "epochs": 2}, {**GROWTH, "importance": "l2", "grow_share": 0.1}
    data = {"kind": "npz", "path": str(colours / "own.npz")}
    return trial(data=data, model=MODELS[request.param], training=training, growth=growth)


@pytest.fixture
def data(config: TrialConfig, colours: Path) -> PreparedData:
    return prepare_data(config, colours / "prepared")


def trained(config: TrialConfig, data: PreparedData, folder: Path) -> Trainer:
    trainer = build_trainer(config, data, folder, CPU)
    list(trainer.epochs())
    return trainer


def test_ldam_grows_resumes_bit_for_bit_and_comes_back_from_its_file(
    config: TrialConfig, data: PreparedData, tmp_path: Path
) -> None:
    whole = trained(config, data, tmp_path / "whole")
    assert sum(event.added for event in whole.events) > 0
    next(iter(build_trainer(config, data, tmp_path / "cut", CPU).epochs()))
    final = whole.finish()
    again = trained(config, data, tmp_path / "cut").finish().model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in final.model.state_dict().items())

    save_final(tmp_path, final.model, final.units)
    network = load_final(config, data.manifest, tmp_path)
    heads = [each for each in network.modules() if isinstance(each, CosineLinear)]
    assert [head.scale for head in heads] == [10.0]
    inputs = torch.from_numpy(data.test().x)
    with torch.no_grad():
        assert torch.equal(network(inputs), final.model.eval()(inputs))
        assert (network(inputs) - heads[0].shift).abs().max() <= 10.001  # a cosine times the scale
    shares = np.array(data.manifest.train_counts) / sum(data.manifest.train_counts)
    assert heads[0].shift.tolist() == pytest.approx((-0.5 * np.log(shares)).tolist(), abs=1e-6)


def test_a_cosine_head_is_exported_as_it_was_scored(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    config = trial(training=LDAM)
    final = trained(config, digits, tmp_path).finish()
    save_final(tmp_path, final.model, final.units)
    exported = deliver(config, digits, tmp_path, tmp_path / "export", tmp_path / "log")
    assert exported.card.model["head"] == {"cosine_scale": 10.0, "has_bias": True}
    assert max(each.largest for each in exported.differences.values()) < 1e-3
    scores = {name: final.record.metrics[name] for name in ("balanced_accuracy", "calibration_error")}
    tally = build_tally(digits.manifest)
    validation = digits.validation()
    with torch.no_grad():
        outputs = load_final(config, digits.manifest, tmp_path)(torch.from_numpy(validation.x))
    tally.add(outputs, torch.from_numpy(validation.y))
    found = tally.metrics(tally.sums().tolist())
    assert {name: found[name] for name in scores} == pytest.approx(scores, abs=1e-5)


def test_a_network_without_a_bias_of_its_outputs_is_adjusted_by_a_shift(
    trial: Make, colours: Path, tmp_path: Path
) -> None:
    config = trial(
        data={"kind": "npz", "path": str(colours / "own.npz"), "resize": [24, 24]},
        model={"kind": "torchvision", "name": "squeezenet1_1"},
        training={"epochs": 1, "posthoc_tau": 1.0},
    )
    data = prepare_data(config, colours / "prepared")
    final = trained(config, data, tmp_path).finish()
    assert isinstance(final.model, Shifted)
    save_final(tmp_path, final.model, final.units)
    network = load_final(config, data.manifest, tmp_path)
    assert isinstance(network, Shifted)
    assert (network.shift > 0).all()
    assert score_test_part(network, data)["test/validation_loss"] > 0

    weights = tmp_path / "own.pt"
    torch.save(network.network.state_dict(), weights)
    model = {**config.model.model_dump(), "weights": str(weights)}
    pretrained = trial(data=config.data.model_dump(), model=model, training={"epochs": 1, "posthoc_tau": 1.0})
    fresh = build_model(pretrained, (3, 24, 24), 2)
    found = load_pretrained(fresh, pretrained.model, (3, 24, 24), 2)
    assert found is not None
    assert found.is_whole


def test_ldam_is_refused_for_a_network_without_a_linear_layer_at_its_end(trial: Make) -> None:
    config = trial(model={"kind": "torchvision", "name": "squeezenet1_1"}, training={"epochs": 1, "loss": "ldam"})
    with pytest.raises(ValueError, match=r"Choose another training\.loss than ldam, or another model"):
        build_model(config, (3, 24, 24), 2)


def test_pretrained_weights_fit_a_cosine_head(trial: Make, tmp_path: Path) -> None:
    torch.save(build_model(trial(seed=1), (64,), 3).state_dict(), tmp_path / "plain.pt")
    model = {"kind": "mlp", "widths": [6, 4], "weights": str(tmp_path / "plain.pt")}
    config = trial(model=model, training={"epochs": 1, "loss": "ldam"})
    network = build_model(config, (64,), 3)
    found = load_pretrained(network, config.model, (64,), 3)
    assert found is not None
    assert (found.unused, found.absent) == (("layers.5.bias",), ("layers.5.shift",))


def test_the_memory_of_a_training_with_a_cosine_head_is_known_beforehand(
    config: TrialConfig, data: PreparedData
) -> None:
    assert memory_need(config, data.manifest, on_gpu=True).total > 0
