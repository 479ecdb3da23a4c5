import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.training.losses import (
    ClassBalancedFocal,
    CrossEntropy,
    Focal,
    LabelAwareSmoothing,
    Ldam,
    LogitAdjustment,
    VectorScaling,
    class_balanced_weights,
)

GOLDEN = json.loads(Path(__file__).with_name("golden_losses.json").read_text())
COUNTS = GOLDEN["inputs"]["class_counts"]
LABELS = torch.tensor(GOLDEN["inputs"]["labels"])
WEIGHTS = class_balanced_weights(COUNTS, 0.9999)
SCALE = 30.0
MADE = {
    "cross_entropy": CrossEntropy("cross_entropy", None),
    "cb_ce_torch_weighted_mean": CrossEntropy("class_balanced", WEIGHTS),
    "cb_ce_lab_repo": CrossEntropy("class_balanced", WEIGHTS),
    "cb_sigmoid": ClassBalancedFocal(0.0, WEIGHTS),
    "cb_focal_sigmoid_g0.5": ClassBalancedFocal(0.5, WEIGHTS),
    "cb_focal_sigmoid_g1": ClassBalancedFocal(1.0, WEIGHTS),
    "focal_softmax_g0": Focal(0.0, None),
    "focal_softmax_g1": Focal(1.0, None),
    "ldam": Ldam(COUNTS, 0.5, SCALE, None),
    "ldam_sade_variant": Ldam(COUNTS, 0.5, SCALE, None),
    "logit_adjustment_tau0.5": LogitAdjustment("logit_adjustment", COUNTS, 0.5, None),
    "logit_adjustment_tau1": LogitAdjustment("logit_adjustment", COUNTS, 1.0, None),
    "logit_adjustment_lab_tau1": LogitAdjustment("logit_adjustment", COUNTS, 1.0, None),
    "balanced_softmax": LogitAdjustment("balanced_softmax", COUNTS, 1.0, None),
    "balanced_softmax_lab": LogitAdjustment("balanced_softmax", COUNTS, 1.0, None),
    "label_aware_smoothing_concave": LabelAwareSmoothing(COUNTS, 0.3, 0.05, "concave", None),
    "label_aware_smoothing_linear": LabelAwareSmoothing(COUNTS, 0.3, 0.05, "linear", None),
}
CASES = {case["name"]: case for case in GOLDEN["cases"]}
WEIGHABLE = {
    "focal": lambda weights: Focal(1.0, weights),
    "ldam": lambda weights: Ldam(COUNTS, 0.5, SCALE, weights),
    "logit_adjustment": lambda weights: LogitAdjustment("logit_adjustment", COUNTS, 0.5, weights),
    "vs": lambda weights: VectorScaling(COUNTS, 0.15, 1.0, weights),
    "label_aware_smoothing": lambda weights: LabelAwareSmoothing(COUNTS, 0.3, 0.0, "concave", weights),
}


def inputs_of(name):
    return torch.tensor(GOLDEN["inputs"][CASES[name]["input"]], dtype=torch.float64, requires_grad=True)


def assert_golden(name, value, logits):
    value.backward()
    assert value.item() == pytest.approx(CASES[name]["loss"], abs=1e-9)
    assert torch.allclose(logits.grad, torch.tensor(CASES[name]["gradient"], dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MADE)
def test_value_and_gradient_are_those_of_the_published_code(name):
    inputs = inputs_of(name)
    # LDAM's logits are cosines times the scale already; one repository takes the margins from plain logits.
    logits = SCALE * inputs if name == "ldam" else inputs
    assert_golden(name, MADE[name](logits, LABELS), inputs)


def test_times_its_weight_the_class_balanced_loss_is_the_sum_that_tensorflow_divides_by_the_batch():
    name = "cb_softmax_batch_mean"
    logits, loss = inputs_of(name), CrossEntropy("class_balanced", WEIGHTS)
    assert_golden(name, loss(logits, LABELS) * loss.weight(LABELS) / len(LABELS), logits)


def test_every_stored_case_is_tested():
    assert CASES.keys() == MADE.keys() | {"cb_softmax_batch_mean"}


@pytest.mark.parametrize("beta", GOLDEN["class_balanced_weights"])
def test_class_balanced_weights_are_the_published_ones(beta):
    expected = GOLDEN["class_balanced_weights"][beta]
    assert class_balanced_weights(COUNTS, float(beta)).tolist() == pytest.approx(expected, abs=1e-12)


def test_vector_scaling_worked_by_numpy():
    logits = inputs_of("cross_entropy")
    z, n, y = logits.detach().numpy(), np.array(COUNTS, dtype=float), LABELS.numpy()
    scaled = z * (n / n.max()) ** 0.3 + 1.25 * np.log(n / n.sum())
    expected = (np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(y)), y]).mean()
    assert VectorScaling(COUNTS, 0.3, 1.25, None)(logits, LABELS).item() == pytest.approx(expected, abs=1e-12)


def test_vector_scaling_without_its_exponent_is_logit_adjustment():
    logits = inputs_of("cross_entropy")
    assert_golden("logit_adjustment_lab_tau1", VectorScaling(COUNTS, 0.0, 1.0, None)(logits, LABELS), logits)


def test_convex_smoothing_spares_all_but_the_commonest_class():
    convex, linear = (LabelAwareSmoothing(COUNTS, 0.4, 0.1, shape, None).shares for shape in ("convex", "linear"))
    assert convex[[0, 3]].tolist() == pytest.approx([0.4, 0.1])
    assert (convex[1:3] < linear[1:3]).all()
    assert (convex[1:3] > 0.1).all()


@pytest.mark.parametrize("kind", WEIGHABLE)
def test_class_weights_make_the_weighted_mean_of_single_examples(kind):
    logits = inputs_of("cross_entropy")
    plain, weighted = WEIGHABLE[kind](None), WEIGHABLE[kind](WEIGHTS)
    alone = torch.stack([plain(logits[i : i + 1], LABELS[i : i + 1]) for i in range(len(LABELS))])
    weights = WEIGHTS[LABELS]
    assert weighted(logits, LABELS).item() == pytest.approx(((alone * weights).sum() / weights.sum()).item(), abs=1e-12)
    assert weighted.weight(LABELS).item() == pytest.approx(weights.sum().item())
    assert plain.weight(LABELS) == len(LABELS)


@pytest.mark.parametrize("name", MADE)
def test_parts_of_a_batch_add_up_by_their_weights(name):
    loss, logits = MADE[name], inputs_of("cross_entropy")
    parts = [(logits[part], LABELS[part]) for part in (slice(2), slice(2, None))]
    weights = [loss.weight(labels) for _, labels in parts]
    whole = sum(loss(*part) * weight for part, weight in zip(parts, weights, strict=True)) / sum(weights)
    assert whole.item() == pytest.approx(loss(logits, LABELS).item(), abs=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_focal_of_an_example_that_is_right_beyond_rounding_has_a_finite_gradient(gamma):
    logits = torch.tensor([[100.0, 0.0, 0.0, 0.0], [-100.0, 0.0, 0.0, 0.0]], requires_grad=True)
    Focal(gamma, None)(logits, torch.tensor([0, 0])).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[1].abs().sum() > 0


@pytest.mark.parametrize("name", MADE)
def test_logits_in_bfloat16_lose_nothing_but_their_own_digits(name):
    logits = inputs_of("cross_entropy").detach().bfloat16().requires_grad_()
    exact = logits.detach().float().requires_grad_()
    loss = copy.deepcopy(MADE[name]).to(torch.device("cpu"), torch.float32)
    found, expected = loss(logits, LABELS), loss(exact, LABELS)
    (found + expected).backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(logits.grad, exact.grad.bfloat16())


counts = st.lists(st.integers(1, 10**5), min_size=2, max_size=6)


@given(counts, st.floats(0, 0.99999))
@settings(deadline=None)
def test_class_balanced_weights_sum_to_the_classes_and_favour_the_rare(class_counts, beta):
    weights = class_balanced_weights(class_counts, beta)
    assert weights.sum().item() == pytest.approx(len(class_counts))
    assert weights.max().item() == pytest.approx(weights[torch.tensor(class_counts).argmin()].item())


@given(st.integers(1, 1000))
@settings(deadline=None)
def test_equal_counts_give_the_plain_loss(count):
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 2, 2, 0])
    plain = CrossEntropy("cross_entropy", None)(logits, labels).item()
    weights = class_balanced_weights([count] * 3, 0.9999)
    for loss in (
        CrossEntropy("class_balanced", weights),
        LogitAdjustment("balanced_softmax", [count] * 3, 1.0, None),
        VectorScaling([count] * 3, 0.5, 1.0, weights),
        LabelAwareSmoothing([count] * 3, 0.0, 0.0, "concave", None),
    ):
        assert loss(logits, labels).item() == pytest.approx(plain, abs=1e-12)
