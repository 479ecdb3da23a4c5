import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.neurons.shortcuts import SHORTCUTS

numbers = st.integers(0, 3)
convolutions = {"conv1d": F.conv1d, "conv2d": F.conv2d, "conv3d": F.conv3d}


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def same(shortcut, truth):
    return (shortcut.shape, shortcut.stride(), shortcut.dtype) == (truth.shape, truth.stride(), truth.dtype)


@settings(max_examples=300)
@given(data=st.data(), name=st.sampled_from(sorted(convolutions)))
def test_a_convolution_has_the_shape_that_pytorch_gives_it_or_is_left_to_pytorch(data, name):
    num_space = int(name[4])
    groups = data.draw(st.integers(0, 3))
    channels = data.draw(st.integers(0, 4))
    inputs = meta(data.draw(st.integers(0, 2)), channels, *(data.draw(st.integers(0, 7)) for _ in range(num_space)))
    columns = data.draw(st.sampled_from([channels // max(groups, 1), 1]))
    weight = meta(data.draw(st.integers(0, 6)), columns, *(data.draw(numbers) for _ in range(num_space)))
    bias = data.draw(st.sampled_from([None, meta(len(weight)), meta(2)]))
    if data.draw(st.booleans()):
        inputs = inputs.transpose(1, -1)
    options = [data.draw(st.one_of(numbers, st.lists(numbers, min_size=num_space, max_size=num_space))) for _ in "spd"]
    args = (inputs, weight, bias, *options, groups)[: data.draw(st.integers(2, 7))]
    found = SHORTCUTS[name](args, {})
    if found is None:
        return
    assert same(found, convolutions[name](*args))


@pytest.mark.parametrize("name", sorted(convolutions))
def test_ordinary_convolutions_are_not_left_to_pytorch(name):
    space = [8] * int(name[4])
    for groups in (1, 4):
        args = (meta(2, 4, *space), meta(8, 4 // groups, *(3 for _ in space)), meta(8), [2] * len(space), 1, 1, groups)
        assert same(SHORTCUTS[name](args, {}), convolutions[name](*args))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("relu", (meta(2, 3),)),
        ("batch_norm", (meta(2, 3, 4), meta(3), meta(3), meta(3), meta(3), False, 0.1, 1e-5, False)),
        ("layer_norm", (meta(2, 3, 4), [4], meta(4), meta(4))),
        ("add", (meta(2, 3, 4), meta(3, 1))),
        ("mul", (meta(2, 3), 2.0)),
        ("linear", (meta(2, 5, 3), meta(4, 3), meta(4))),
        ("scaled_dot_product_attention", (meta(2, 4, 5, 3), meta(2, 4, 6, 3), meta(2, 4, 6, 7))),
        ("cat", ([meta(2, 3), meta(2, 4)], 1)),
        ("adaptive_avg_pool2d", (meta(2, 3, 8, 8), [1, 1])),
    ],
)
def test_common_operations_have_the_shape_that_pytorch_gives_them(name, args):
    function = getattr(torch, name, None) or getattr(F, name)
    assert same(SHORTCUTS[name](args, {}), function(*args))


def test_another_type_is_left_to_pytorch():
    assert SHORTCUTS["conv2d"]((meta(1, 2, 4, 4), meta(2, 2, 3, 3, dtype=torch.float64)), {}) is None
    assert SHORTCUTS["linear"]((meta(1, 2), meta(2, 2, dtype=torch.int64)), {}) is None
