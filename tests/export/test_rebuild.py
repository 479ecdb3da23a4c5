import pytest
import torch

from neurosearch.export.errors import ExportError
from neurosearch.export.rebuild import load_network


def copy_export(exported, folder):
    for path in exported.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_the_network_comes_back_with_its_weights_and_preprocessing(cases, exported, build_model):
    data, network, _ = cases["cnn-HWC-resized"]
    deployed, card = load_network(exported["cnn-HWC-resized"].folder, build_model)
    assert card == exported["cnn-HWC-resized"].card
    assert torch.equal(deployed.preprocess.mean, data.preprocess().mean)
    for name, tensor in network.state_dict().items():
        assert torch.equal(deployed.network.state_dict()[name], tensor)


@pytest.mark.parametrize("name", ["network.json", "network.safetensors"])
def test_a_missing_or_damaged_file_is_refused(name, exported, build_model, tmp_path):
    folder = copy_export(exported["cnn-HW"], tmp_path)
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(ExportError, match="does not hold a network"):
        load_network(folder, build_model)
    (folder / name).unlink()
    with pytest.raises(ExportError, match="does not hold a network"):
        load_network(folder, build_model)


def test_weights_of_another_structure_are_refused(exported, build_model, tmp_path):
    folder = copy_export(exported["cnn-HW"], tmp_path)
    card = (folder / "network.json").read_text()
    (folder / "network.json").write_text(card.replace("4,\n   6", "4,\n   7"))
    with pytest.raises(ExportError, match="size mismatch"):
        load_network(folder, build_model)
