import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from neurosearch.data.preprocess import Moments, Preprocess
from neurosearch.data.spec import PreprocessSpec

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8))


def build(layout, raw_shape, num_channels, resize=None, dtype="uint8"):
    spec = PreprocessSpec(layout, dtype, raw_shape, 255.0, resize)
    return Preprocess(spec, torch.full((num_channels,), 0.25), torch.full((num_channels,), 0.5))


def test_all_image_layouts_give_the_same_values():
    expected = (IMAGES.permute(0, 3, 1, 2) / 255 - 0.25) / 0.5
    assert torch.equal(build("HWC", (6, 7, 3), 3)(IMAGES), expected)
    assert torch.equal(build("CHW", (3, 6, 7), 3)(IMAGES.permute(0, 3, 1, 2)), expected)
    assert torch.equal(build("HW", (6, 7), 1)(IMAGES[..., 0]), expected[:, :1])


def test_features_are_normalised_one_by_one():
    spec = PreprocessSpec("features", "float32", (3,), 1.0, None)
    preprocess = Preprocess(spec, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 4.0]))
    assert torch.equal(preprocess(torch.tensor([[1.0, 3.0, 10.0]])), torch.tensor([[1.0, 1.0, 2.0]]))


@pytest.mark.parametrize(
    ("layout", "raw_shape", "num_channels", "input_shape"),
    [
        ("features", (9,), 9, (9,)),
        ("HW", (6, 7), 1, (1, 4, 5)),
        ("HWC", (6, 7, 3), 3, (3, 4, 5)),
        ("CHW", (3, 6, 7), 3, (3, 4, 5)),
    ],
)
def test_the_input_shape_is_the_shape_that_comes_out(layout, raw_shape, num_channels, input_shape):
    preprocess = build(layout, raw_shape, num_channels, None if layout == "features" else (4, 5))
    assert preprocess.spec.input_shape == input_shape
    assert preprocess(torch.zeros(2, *raw_shape, dtype=torch.uint8)).shape == (2, *input_shape)


def test_resizing_is_bilinear_with_antialiasing():
    expected = F.interpolate(IMAGES.permute(0, 3, 1, 2) / 255, (3, 4), mode="bilinear", antialias=True)
    assert torch.equal(build("HWC", (6, 7, 3), 3, (3, 4)).arrange(IMAGES), expected)


def test_the_statistics_are_no_parameters():
    preprocess = build("HW", (6, 7), 1)
    assert list(preprocess.parameters()) == []
    assert set(preprocess.state_dict()) == {"mean", "std"}


@given(seed=st.integers(0, 1000), pieces=st.integers(1, 5), offset=st.sampled_from([0.0, 1e3, -1e6]))
@settings(deadline=None)
def test_moments_in_pieces_equal_moments_at_once(seed, pieces, offset):
    values = torch.randn(12, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + offset
    moments = Moments()
    for piece in values.chunk(pieces):
        moments.add(piece)
    mean, std = moments.finish()
    torch.testing.assert_close(mean, values.mean((0, 2, 3)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(std, values.std((0, 2, 3), correction=0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e6])
def test_a_constant_feature_becomes_zero(value):
    moments = Moments()
    rows = torch.full((7, 1), value)
    moments.add(rows[:3])
    moments.add(rows[3:])
    mean, std = moments.finish()
    assert std.item() == 1
    assert ((rows - mean.float()) / std.float()).abs().max() == 0
