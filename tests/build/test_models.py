import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.build.models import build_cnn, build_mlp, scale_widths
from neurosearch.config.model import CnnFields, MlpFields


@pytest.mark.parametrize("module", ["models", "data", "growth"])
def test_reading_the_fields_of_our_kinds_imports_no_torch(module: str) -> None:
    code = f"import sys, neurosearch.build.{module}; sys.exit(bool({{'torch', 'numpy', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("input_shape", [(5,), (1, 8, 8)])
def test_an_mlp_reads_examples_of_any_shape(norm: str, input_shape: tuple[int, ...]) -> None:
    model = build_mlp(MlpFields.model_validate({"widths": [7, 3], "norm": norm, "dropout": 0.5}), input_shape, 4)
    assert model(torch.zeros(2, *input_shape)).shape == (2, 4)


def test_a_cnn_reads_images() -> None:
    assert build_cnn(CnnFields(widths=(3, 5)), (3, 9, 12), 4)(torch.zeros(2, 3, 9, 12)).shape == (2, 4)


def test_a_cnn_refuses_features_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"model\.kind: cnn needs images .* shape \(64,\)\. Choose model\.kind: mlp"):
        build_cnn(CnnFields(widths=(3,)), (64,), 4)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=4), st.floats(1e-4, 20.0))
def test_scaled_widths_keep_proportions_and_at_least_one_neuron(widths: list[int], factor: float) -> None:
    fields = MlpFields(widths=tuple(widths), dropout=0.1)
    scaled = scale_widths(fields, factor)
    assert all(new >= 1 and new - 1 < old * factor <= new for old, new in zip(widths, scaled.widths, strict=True))
    assert scale_widths(fields, 1.0) == fields
    assert scaled.dropout == 0.1
