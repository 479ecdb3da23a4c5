import pytest
import torch

from neurosearch.models.vit import VitShape, build_vit
from neurosearch.neurons import find_units

pytest.importorskip("torchvision", reason="the core rooms are also tested where torchvision is not installed")


def shape(side=32, patch=4):
    return VitShape((3, side, side), patch, 2, 2, 8, 12, 5, 0.0)


def test_it_maps_images_to_outputs_and_its_inner_layers_are_what_can_change():
    model = build_vit(shape())
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    units = find_units(model, (torch.zeros(2, 3, 32, 32),))
    assert [(group.name, group.size) for group in units.groups] == [
        (f"encoder.layers.encoder_layer_{layer}.mlp.0", 12) for layer in (0, 1)
    ]


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (shape(patch=5), r"in 3 channels\. Change model\.patch_size or data\.resize"),
        (VitShape((1, 32, 32), 4, 1, 2, 8, 12, 5, 0.0), r"in 1 channel\. Repeat the grey channel three times"),
        (VitShape((4, 32, 32), 4, 1, 2, 8, 12, 5, 0.0), r"in 4 channels\. Keep three channels in the data"),
    ],
)
def test_images_that_it_cannot_cut_into_patches_are_refused_with_the_remedy(wrong, remedy):
    with pytest.raises(ValueError, match=rf"square colour images .*{remedy}"):
        build_vit(wrong)
