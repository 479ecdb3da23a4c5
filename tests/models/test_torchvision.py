import pytest
import torch

from neurosearch.models.torchvision import build_classifier

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
