import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurosearch.models import Cnn, CnnShape, Mlp, MlpShape
from neurosearch.models.head import CosineLinear, Shifted, output_bias, with_cosine_head, with_output_bias
from neurosearch.models.resnet_cifar import ResnetCifar, ResnetCifarShape
from neurosearch.neurons import find_units

NETWORKS = {
    "mlp": (lambda: Mlp(MlpShape((12,), (8, 6), 3, "relu", "batch", 0.1)), (12,)),
    "cnn": (lambda: Cnn(CnnShape((3, 8, 8), (4, 6), 3, 0.1)), (3, 8, 8)),
    "resnet_cifar": (lambda: ResnetCifar(ResnetCifarShape((3, 8, 8), (4, 6), (5, 7), 1, 3)), (3, 8, 8)),
    "linear": (lambda: nn.Linear(12, 3), (12,)),
    "linear without bias": (lambda: nn.Linear(12, 3, bias=False), (12,)),
}


@pytest.fixture(params=NETWORKS)
def case(request):
    torch.manual_seed(0)
    make, shape = NETWORKS[request.param]
    return make().train(), torch.randn(5, *shape)


def test_a_cosine_head_gives_scaled_cosines_of_the_features(case):
    network, inputs = case
    headed = with_cosine_head(network, inputs[:1], 30.0)
    assert headed.training
    features = []
    head = next(each for each in headed.modules() if isinstance(each, CosineLinear))
    head.register_forward_pre_hook(lambda _layer, given: features.append(given[0]))
    with torch.no_grad():
        outputs = headed.eval()(inputs)
    cosines = F.cosine_similarity(features[0].unsqueeze(1), head.weight.unsqueeze(0), dim=2)
    assert torch.allclose(outputs, 30 * cosines, atol=1e-4)
    assert torch.allclose(head.weight.norm(dim=1), torch.ones(3))


def test_an_output_bias_shifts_the_outputs_and_nothing_else(case):
    network, inputs = case
    network = with_output_bias(network, inputs[:1], 3)
    shift = torch.tensor([1.0, -2.0, 3.0])
    with torch.no_grad():
        before = network.eval()(inputs)
        output_bias(network, inputs[:1]).add_(shift)
        assert torch.allclose(network(inputs), before + shift, atol=1e-5)


def test_a_cosine_head_has_a_bias_of_its_own(case):
    network, inputs = case
    headed = with_cosine_head(network, inputs[:1], 30.0)
    assert with_output_bias(headed, inputs[:1], 3) is headed
    assert output_bias(headed, inputs[:1]).tolist() == [0, 0, 0]


def pooled_classes():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_outputs_without_a_linear_layer_get_a_shift_and_take_no_cosines():
    network, example = pooled_classes(), torch.randn(1, 3, 8, 8)
    shifted = with_output_bias(network, example, 3)
    assert isinstance(shifted, Shifted)
    assert torch.equal(shifted(example), network(example))
    output_bias(shifted, example).add_(1.0)
    assert torch.allclose(shifted(example), network(example) + 1)
    with pytest.raises(ValueError, match=r"Choose another training\.loss than ldam, or another model"):
        with_cosine_head(network, example, 30.0)


def test_a_linear_layer_that_others_follow_is_not_the_output():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    assert isinstance(with_output_bias(network, torch.randn(1, 4), 3), Shifted)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet_cifar"])
def test_behind_a_cosine_head_only_the_neurons_that_feed_it_stay(name):
    make, shape = NETWORKS[name]
    inputs = torch.randn(2, *shape)
    plain = find_units(make(), (inputs,))
    headed = find_units(with_cosine_head(make(), inputs[:1], 30.0), (inputs,))
    gone = {group.name for group in plain.groups} - {group.name for group in headed.groups}
    assert len(gone) == (0 if name == "resnet_cifar" else 1)  # its trunk stays anyway
    reasons = {each.reason for each in headed.frozen if each.tensor.endswith("weight") and each.dimension == 1}
    assert any(reason.startswith("linalg_vector_norm is taken over it in ") for reason in reasons)
    assert len(headed.groups) >= 1
