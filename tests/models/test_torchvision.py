import pytest
import torch

from neurosearch.models.torchvision import build_classifier, require_readable

pytest.importorskip("torchvision", reason="the core rooms are also tested where torchvision is not installed")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", "inception_v3"])
def test_a_network_has_as_many_outputs_as_classes(name):
    model = build_classifier(name, 7).eval()
    side = 299 if name == "inception_v3" else 64
    with torch.no_grad():
        assert model(torch.randn(1, 3, side, side)).shape == (1, 7)


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(ValueError, match=r"no classification network 'resnet81'\. Did you mean 'resnet18'\?"):
        build_classifier("resnet81", 10)


def test_a_network_that_reckons_its_widths_has_shapes_alone_too():
    with torch.device("meta"):
        found = build_classifier("regnet_y_400mf", 7)
    expected = build_classifier("regnet_y_400mf", 7)
    assert all(tensor.is_meta for tensor in found.state_dict().values())
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (found, expected)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "sides", "reason"),
    [
        ("vit_b_16", (32, 32), "Expected 224 but got 32"),
        ("alexnet", (8, 8), "Output size is too small"),
        ("inception_v3", (32, 48), "Kernel size can't be greater"),
    ],
)
def test_images_that_a_network_cannot_read_are_told_with_the_size_that_it_reads(name, sides, reason):
    with torch.device("meta"):
        network = build_classifier(name, 7)
    with pytest.raises(ValueError, match=rf"{name} cannot read images of {sides[0]} x {sides[1]} pixels.*{reason}"):
        require_readable(network, name, (3, *sides))
    require_readable(network, name, (3, 224, 224))


def test_asking_what_a_network_reads_changes_nothing():
    network = build_classifier("resnet18", 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    require_readable(network, "resnet18", (3, 32, 32))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
