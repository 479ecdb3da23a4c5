import numpy as np
import pytest

from neurosearch.data.targets import TargetScaling
from neurosearch.export.card import make_card
from neurosearch.export.errors import ExportError
from neurosearch.export.freeze import Deployed
from neurosearch.export.verify import compare, compare_quantities, run_batches, verify

LOGITS = np.array([[1.0, 0.0], [0.0, 0.5]], np.float32)


def test_equal_outputs_have_no_difference():
    difference = compare(LOGITS, LOGITS.copy())
    assert (difference.largest, difference.changed, difference.examples) == (0, 0, 2)


def test_another_prediction_is_counted():
    assert compare(LOGITS, LOGITS[:, ::-1]).changed == 2


def test_a_tie_within_rounding_is_no_other_prediction():
    tie, other = np.array([[1.0, 1.0 - 1e-6]], np.float32), np.array([[1.0 - 1e-6, 1.0]], np.float32)
    assert compare(tie, other).changed == 0


def test_rounding_is_measured_against_the_size_of_the_logits():
    assert compare(LOGITS, LOGITS + 1e-4).largest == pytest.approx(1e-4, rel=0.01)
    assert compare(LOGITS * 100, LOGITS * 100 + 1e-4).largest == pytest.approx(1e-6, rel=0.1)


def test_outputs_that_are_not_finite_differ_by_all():
    broken = LOGITS.copy()
    broken[0, 0] = np.nan
    assert compare(LOGITS, broken).largest == np.inf
    assert not compare(broken, broken).largest <= 1e-5


def test_the_first_example_runs_by_itself():
    sizes = []

    def run(batch):
        sizes.append(len(batch))
        return batch

    raw = np.arange(600, dtype=np.float32).reshape(600, 1)
    assert np.array_equal(run_batches(run, raw, 256), raw)
    assert sizes == [1, 256, 256, 87]
    assert len(run_batches(run, raw[:1], 256)) == 1


@pytest.mark.parametrize(
    ("file", "format_name"),
    [("network.pt2", "pt2"), ("network.onnx", "onnx"), ("network.safetensors", "safetensors")],
)
def test_a_file_of_another_network_or_a_damaged_one_is_refused(
    file, format_name, cases, exported, build_model, tmp_path
):
    data, network, model = cases["cnn-HW"]
    card, raw = make_card(data.manifest, model, None), data.raw_validation().x
    for path in exported["cnn-HW"].folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = build_model(model, data.manifest.input_shape, 3)
    deployed = Deployed(data.preprocess(), other, data.postprocess())
    with pytest.raises(ExportError, match=f"{file} does not give what the network gives"):
        verify(tmp_path, (format_name,), deployed, card, raw, build_model)
    (tmp_path / file).write_bytes(b"damaged")
    deployed = Deployed(data.preprocess(), network, data.postprocess())
    with pytest.raises(ExportError, match=f"{file} cannot be used after writing"):
        verify(tmp_path, (format_name,), deployed, card, raw, build_model)


@pytest.mark.parametrize("format_name", ["onnx", "safetensors"])
def test_a_file_with_another_card_is_refused(format_name, cases, exported, build_model):
    data, network, model = cases["cnn-HW"]
    card = make_card(data.manifest, model, None)
    wrong = type(card)(**{**vars(card), "class_names": ("a", "b", "c")})
    with pytest.raises(ExportError, match="another card"):
        verify(
            exported["cnn-HW"].folder,
            (format_name,),
            Deployed(data.preprocess(), network, data.postprocess()),
            wrong,
            data.raw_validation().x,
            build_model,
        )


SCALING = TargetScaling(("year", "length"), (2000.0, 0.0), (3.0, 1e-4))
QUANTITIES = np.array([[2001.0, 1e-4], [1997.0, -2e-4]], np.float32)


def test_equal_quantities_have_no_difference():
    difference = compare_quantities(QUANTITIES, QUANTITIES.copy(), SCALING)
    assert (difference.largest, difference.changed, difference.examples) == (0, 0, 2)


def test_what_float32_rounds_off_a_large_mean_is_no_difference():
    rounded = np.nextafter(QUANTITIES, np.float32(1e9))
    assert compare_quantities(QUANTITIES, rounded, SCALING).largest <= 1e-5


@pytest.mark.parametrize("off", [[0.01, 0.0], [0.0, 1e-7]])
def test_quantities_are_compared_in_their_own_deviations(off):
    difference = compare_quantities(QUANTITIES, QUANTITIES + np.array(off, np.float32), SCALING)
    assert difference.largest > 1e-5
    assert difference.changed == 2


def test_quantities_that_are_not_finite_differ_by_all():
    broken = QUANTITIES.copy()
    broken[0, 0] = np.nan
    difference = compare_quantities(QUANTITIES, broken, SCALING)
    assert (difference.largest, difference.changed) == (np.inf, 1)
