import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from neurosearch.build.control import control_config
from neurosearch.build.pretrained import load_pretrained, read_weights, without_weights
from neurosearch.build.trial import build_model, build_trainer
from neurosearch.config.study import SizeLimit
from neurosearch.config.trial import TrialConfig
from neurosearch.config.weights import pinned
from neurosearch.data.prepared import PreparedData

Make = Callable[..., TrialConfig]
CPU = torch.device("cpu")
MODELS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"kind": "mlp", "widths": [6, 4]}, (1, 8, 8)),
    ({"kind": "cnn", "widths": [3, 4]}, (1, 8, 8)),
    ({"kind": "resnet_cifar", "widths": [4, 6], "inner_widths": [3, 3], "num_blocks": 1}, (3, 8, 8)),
    ({"kind": "torchvision", "name": "squeezenet1_1"}, (3, 32, 32)),
    ({"kind": "torchvision", "name": "mobilenet_v3_small"}, (3, 32, 32)),
]


def save(path: Path, weights: dict[str, Any]) -> str:
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    return str(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(("model", "input_shape"), MODELS)
def test_every_kind_starts_from_a_file_but_for_its_head(
    trial: Make, tmp_path: Path, model: dict[str, Any], input_shape: tuple[int, ...], suffix: str
) -> None:
    stored = build_model(trial(model=model, seed=1), input_shape, 7).state_dict()
    config = trial(model={**model, "weights": save(tmp_path / f"a.{suffix}", stored)})
    network = build_model(config, input_shape, 4)
    found = load_pretrained(network, config.model, input_shape, 4)
    assert found is not None
    own, drawn = network.state_dict(), build_model(config, input_shape, 4).state_dict()
    assert len(found.replaced) == 2
    assert all(torch.equal(own[name], drawn[name]) for name in found.replaced)
    assert all(torch.equal(own[name], stored[name]) for name in set(own) - set(found.replaced))
    assert (found.absent, found.unused) == ((), ())


def test_weights_of_torchvision_itself_fit(trial: Make, tmp_path: Path) -> None:
    path = save(tmp_path / "resnet18.pth", torchvision.models.resnet18(weights=None).state_dict())
    config = trial(model={"kind": "torchvision", "name": "resnet18", "weights": path})
    with torch.device("meta"):
        network = build_model(config, (3, 32, 32), 10)
    found = load_pretrained(network, config.model, (3, 32, 32), 10)
    assert found is not None
    assert found.replaced == ("fc.weight", "fc.bias")


def test_a_section_without_weights_changes_nothing(trial: Make) -> None:
    assert load_pretrained(build_model(trial(), (64,), 3), trial().model, (64,), 3) is None


def test_a_training_begins_with_the_weights_and_goes_on_from_its_own(
    trial: Make, digits: PreparedData, tmp_path: Path
) -> None:
    shape, num_classes = digits.manifest.input_shape, digits.manifest.num_classes
    stored = build_model(trial(seed=1), shape, num_classes).state_dict()
    path = save(tmp_path / "a.pt", stored)
    still = {"epochs": 1, "learning_rate": 1e-12}
    config = trial(model={**MODELS[0][0], "weights": pinned(path)}, training=still)
    trainer = build_trainer(config, digits, tmp_path / "a", CPU)
    list(trainer.epochs())
    trained = trainer.finish().model.state_dict()
    assert all(torch.allclose(trained[name], stored[name], atol=1e-6) for name in stored)


@pytest.mark.parametrize("wrapped", ["state_dict", "model_state_dict", "model", "weights"])
def test_a_state_dict_inside_a_checkpoint_is_found(tmp_path: Path, wrapped: str) -> None:
    path = save(tmp_path / "a.pt", {"epoch": 3, wrapped: {"a": torch.ones(2)}})
    assert read_weights(Path(path), None)["a"].tolist() == [1.0, 1.0]


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for write in (lambda: torch.save(Harmful(tmp_path / "made"), path), lambda: _pickle(path, tmp_path / "made")):
        write()
        with pytest.raises(ValueError, match=r"it holds objects, which are never unpickled.*torch\.save\(model\.state"):
            read_weights(path, None)
    assert not (tmp_path / "made").exists()


def _pickle(path: Path, target: Path) -> None:
    path.write_bytes(pickle.dumps(Harmful(target), 2))


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("kept", [0, 20, 400])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, kept: int) -> None:
    path = Path(save(tmp_path / name, {"a": torch.ones(300)}))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="it is damaged or of another format|is no file of torch.save"):
        read_weights(path, None)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it holds no state dict"):
        read_weights(Path(save(tmp_path / "a.pt", {"epoch": 3})), None)


def test_a_file_that_changed_since_the_study_was_made_is_refused(trial: Make, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", build_model(trial(), (64,), 3).state_dict())
    config = trial(model={**MODELS[0][0], "weights": pinned(path)})
    save(Path(path), build_model(trial(seed=1), (64,), 3).state_dict())
    with pytest.raises(ValueError, match=r"^model\.weights: .*a\.pt: its content has changed since the study was made"):
        load_pretrained(build_model(config, (64,), 3), config.model, (64,), 3)


def test_other_widths_are_refused_with_the_tensors(trial: Make, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", build_model(trial(), (64,), 3).state_dict())
    config = trial(model={"kind": "mlp", "widths": [6, 5], "weights": path})
    with pytest.raises(ValueError, match=r"another shape: layers\.3\.weight \(4 x 6 in the file, 5 x 6 in the network"):
        load_pretrained(build_model(config, (64,), 3), config.model, (64,), 3)


def test_a_control_keeps_the_widths_that_the_weights_fit(trial: Make) -> None:
    limit = SizeLimit(parameters=10_000)
    pretrained = trial(model={**MODELS[0][0], "weights": "a.pt"})
    assert control_config(pretrained, limit, (64,), 3).model == pretrained.model
    assert control_config(trial(), limit, (64,), 3).model != trial().model


def test_without_its_weights_a_config_is_that_of_the_same_network(trial: Make) -> None:
    assert without_weights(trial(model={**MODELS[0][0], "weights": "a.pt"})) == trial(model=MODELS[0][0])
