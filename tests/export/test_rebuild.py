import copy

import pytest
import torch

from neurosearch.export.errors import ExportError
from neurosearch.export.rebuild import load_network
from neurosearch.export.write import export_network
from neurosearch.neurons import apply_plan, find_units, grow, prune, structure


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


@pytest.mark.parametrize("name", ["cnn-HWC-resized", "mlp-HW-resized"])
def test_a_network_that_grew_and_shrank_is_exported_with_its_final_widths(name, cases, build_model, tmp_path):
    data, network, model = cases[name]
    grown = copy.deepcopy(network).train()
    units = find_units(grown, (torch.zeros(2, *data.manifest.input_shape),))
    first, second = (group.name for group in units.groups)
    generator = torch.Generator().manual_seed(0)
    units = apply_plan(grow(units, {first: 3}, start="shared_copy", generator=generator), grown)
    units = apply_plan(prune(units, {second: (0, 2)}), grown)
    exported = export_network(
        grown, model, structure(grown, units), data, build_model, tmp_path / "export", tmp_path / "log"
    )
    deployed, card = load_network(exported.folder, build_model)
    assert card.model == model
    assert {name: tensor.shape for name, tensor in deployed.network.state_dict().items()} == {
        name: tensor.shape for name, tensor in grown.state_dict().items()
    }
    assert sum(tensor.numel() for tensor in deployed.network.parameters()) != sum(
        tensor.numel() for tensor in network.parameters()
    )
