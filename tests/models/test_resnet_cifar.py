import pytest
import torch
from torch.nn import functional as F

from neurosearch.models.resnet_cifar import BasicBlock, ResnetCifar, ResnetCifarShape
from neurosearch.neurons import find_units

WIDTHS = (16, 32, 64)


def make(widths=WIDTHS, inner_widths=WIDTHS, num_blocks=5, num_outputs=10):
    return ResnetCifar(ResnetCifarShape((3, 32, 32), widths, inner_widths, num_blocks, num_outputs))


@pytest.mark.parametrize(("num_outputs", "expected"), [(10, 464_154), (100, 470_004)])
def test_it_has_the_published_number_of_parameters(num_outputs, expected):
    model = make(num_outputs=num_outputs)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_it_has_31_convolutions_and_one_linear_layer():
    kinds = [type(module).__name__ for module in make().modules()]
    assert kinds.count("Conv2d") == 31
    assert kinds.count("Linear") == 1


def test_a_stage_halves_the_image_and_the_shortcut_pads_both_sides_alike():
    block = BasicBlock(4, 6, 8, stride=2).eval()
    torch.nn.init.zeros_(block.conv2.weight)  # the shortcut alone is left
    images = torch.randn(2, 4, 8, 8).abs()
    outputs = block(images)
    assert outputs.shape == (2, 8, 4, 4)
    torch.testing.assert_close(outputs[:, 2:6], images[:, :, ::2, ::2])
    assert not outputs[:, :2].any()
    assert not outputs[:, 6:].any()


def test_it_maps_images_to_logits_of_any_widths():
    model = make(widths=(4, 6, 6), inner_widths=(3, 5, 2), num_blocks=2, num_outputs=7).eval()
    assert model(torch.randn(3, 3, 32, 32)).shape == (3, 7)
    assert F.softmax(model(torch.randn(1, 3, 17, 9)), dim=1).shape == (1, 7)  # any image size


def test_the_inner_widths_are_dynamic_and_the_trunk_is_not():
    units = find_units(make(num_blocks=2), (torch.randn(2, 3, 32, 32),))
    assert [group.size for group in units.groups] == [16, 16, 32, 32, 64, 64]
    assert any(frozen.tensor == "conv.weight" and "padded" in frozen.reason for frozen in units.frozen)
