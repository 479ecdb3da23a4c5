import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.models import Mlp, MlpShape

widths = st.lists(st.integers(1, 5), max_size=3).map(tuple)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@given(
    input_shape=shapes,
    widths=widths,
    norm=st.sampled_from(["none", "batch"]),
    activation=st.sampled_from(["relu", "gelu", "tanh"]),
)
@settings(deadline=None, max_examples=50)
def test_any_widths_map_a_batch_to_one_row_per_example(input_shape, widths, norm, activation):
    model = Mlp(MlpShape(input_shape, widths, 3, activation, norm, 0.5))
    assert model(torch.zeros(2, *input_shape)).shape == (2, 3)


def test_hidden_layers_have_the_asked_widths():
    model = Mlp(MlpShape((1, 2, 3), (5, 4), 2, "relu", "none", 0.0))
    assert [tuple(p.shape) for p in model.parameters()] == [(5, 6), (5,), (4, 5), (4,), (2, 4), (2,)]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu", torch.relu), ("tanh", torch.tanh), ("gelu", torch.nn.functional.gelu)],
)
def test_the_activation_follows_every_hidden_layer(activation, expected):
    model = Mlp(MlpShape((3,), (4,), 2, activation, "none", 0.0)).double()
    inputs = torch.linspace(-1, 1, 6, dtype=torch.float64).view(2, 3)
    first, last = model.layers[1], model.layers[-1]
    assert torch.equal(model(inputs), last(expected(first(inputs))))


def test_without_dropout_and_norm_there_is_no_such_layer():
    model = Mlp(MlpShape((3,), (4, 4), 2, "relu", "none", 0.0))
    assert [type(m).__name__ for m in model.layers] == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
