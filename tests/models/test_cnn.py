import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.models import Cnn, CnnShape


@given(
    side=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple),
)
@settings(deadline=None, max_examples=40)
def test_any_widths_fit_any_image_size(side, widths):
    model = Cnn(CnnShape((2, *side), widths, 3, 0.5))
    assert model(torch.zeros(2, 2, *side)).shape == (2, 3)


@pytest.mark.parametrize(
    ("side", "widths", "num_pools"),
    [(28, (4, 4, 4), 2), (8, (4, 4, 4, 4), 2), (3, (4, 4), 0), (4, (4,), 0), (32, (2,) * 9, 4)],
)
def test_blocks_halve_the_image_while_a_side_is_at_least_four_and_never_after_the_last(side, widths, num_pools):
    model = Cnn(CnnShape((1, side, side), widths, 2, 0.0))
    assert sum(isinstance(m, torch.nn.MaxPool2d) for m in model.modules()) == num_pools
    assert not any(isinstance(m, torch.nn.MaxPool2d) for m in model.blocks[-1])


def test_a_block_is_convolution_batch_norm_relu():
    block = Cnn(CnnShape((3, 8, 8), (5, 7), 2, 0.0)).blocks[0]
    assert [type(m).__name__ for m in block] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert tuple(block[0].weight.shape) == (5, 3, 3, 3)
    assert block[0].bias is None
