"""A seeded sample of groups of torchvision's models, in float64; and agreement with Torch-Pruning's groups."""

import copy
import random

import pytest
import torch
from torch.func import functional_call

from neurosearch.neurons import apply_plan, certify, find_units, gated_parameters, grow, prune

models = pytest.importorskip("torchvision.models")

NAMES = {
    "resnet18": 64,
    "mobilenet_v3_small": 64,
    "shufflenet_v2_x0_5": 64,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "googlenet": 64,
    "convnext_tiny": 32,
    "swin_t": 32,
    "squeezenet1_1": 64,
    "regnet_y_400mf": 32,
    "vit_b_16": 32,
}


# The code of large models at fewer and narrower layers; what they are at full size is in the table of the docs.
SMALL = {
    "vit_b_16": lambda: models.VisionTransformer(32, 16, 3, 4, 32, 64, num_classes=5),
    "convnext_tiny": lambda: models.ConvNeXt(
        [models.convnext.CNBlockConfig(*widths) for widths in ((16, 32, 1), (32, 48, 2), (48, None, 1))], num_classes=5
    ),
    "swin_t": lambda: models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [7, 7], num_classes=5),
    "densenet121": lambda: models.DenseNet(8, (3, 4, 3), 16, num_classes=5),
    "googlenet": lambda: models.get_model("googlenet", num_classes=5, init_weights=False),
}


def built(name, side):
    torch.manual_seed(0)
    model = (SMALL[name]() if name in SMALL else models.get_model(name, num_classes=5)).double().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model, torch.randn(1, 3, side, side, dtype=torch.float64)


@pytest.mark.parametrize("name", list(NAMES))
def test_pruning_equals_masking_and_growth_keeps_the_function(name):
    model, inputs = built(name, NAMES[name])
    units = find_units(model, (inputs,))
    chance = random.Random(name)
    plain = [g for g in units.groups if "normalised" not in units.layout.groups[units.layout.index[g.name]].obstacles]
    chosen = chance.sample(plain, min(4, len(plain)))
    with torch.no_grad():
        expected = model(inputs)
        grown = apply_plan(grow(units, {group.name: 2 for group in chosen}), model)
        assert torch.allclose(model(inputs), expected, rtol=1e-9, atol=1e-9)
        back = {group.name: range(group.size, group.size + 2) for group in chosen}
        assert apply_plan(prune(grown, back), model) == units
        positions = {group.name: chance.sample(range(group.size), group.size // 3) for group in chosen}
        gates = {group.name: torch.ones(group.size, dtype=torch.float64) for group in chosen}
        for group_name, removed in positions.items():
            gates[group_name][removed] = 0
        masked = functional_call(model, gated_parameters(model, units, gates), (inputs,))
        after = apply_plan(prune(units, positions), model)
        assert torch.allclose(model(inputs), masked, rtol=1e-9, atol=1e-9)
    certify(model, after, (inputs,))
    assert copy.deepcopy(model)(inputs).shape == (1, 5)


def test_the_trunk_of_a_shufflenet_changes_where_its_shuffles_leave_more_than_one_unit(exact):
    model, inputs = built("shufflenet_v2_x0_5", 64)
    units = find_units(model, (inputs,))
    sizes = {group.name: group.size for group in units.groups}
    # Three shuffled halvings couple 16 channels each of 48 and 192; seven couple all 96 channels of stage 3.
    assert {name: size for name, size in sizes.items() if "branch1" in name} == {
        "stage2.0.branch1.2": 3,
        "stage4.0.branch1.2": 12,
    }
    reasons = {one.reason for one in units.frozen if one.tensor.startswith("stage3.1.") and one.dimension == 0}
    assert any("all its positions are coupled, so none can go alone" in reason for reason in reasons)
    model = model.requires_grad_(requires_grad=False)
    pruned = exact(model.train(), inputs.expand(2, -1, -1, -1), "stage4.0.branch1.2", [2, 7])
    assert pruned.stage4[3].branch2[5].out_channels == 80
    assert pruned.conv5[0].in_channels == 160


# Torch-Pruning's search over swin_t does not end within a quarter of an hour.
@pytest.mark.filterwarnings("ignore:Unwrapped parameters detected")  # the class token and positions of vit_b_16
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "googlenet", "vit_b_16"])
def test_units_hold_the_layers_that_torch_pruning_couples(name):
    pruning = pytest.importorskip("torch_pruning")
    model, inputs = built(name, NAMES[name])
    units = find_units(model, (inputs,))
    owners = {}
    for index, slices in enumerate(units.layout.slices):
        for part in slices:
            if part.role in {"incoming", "through"} and part.tensor.endswith("weight") and part.dimension == 0:
                owners[part.tensor.removesuffix(".weight")] = index
    graph = pruning.DependencyGraph().build_dependency(model.float(), inputs.float())
    names = {module: key for key, module in model.named_modules()}
    for group in graph.get_all_groups(
        ignored_layers=[m for m in model.modules() if getattr(m, "out_features", 0) == 5]
    ):
        makers = {
            names[dependency.target.module]
            for dependency, _ in group
            if dependency.handler.__name__ == "prune_out_channels" and names.get(dependency.target.module) in owners
        }
        # A group without makers is the network's output, which never changes here.
        assert len({owners[maker] for maker in makers}) <= 1, makers
