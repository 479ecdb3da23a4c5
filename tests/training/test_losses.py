import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.training.losses import class_balanced_weights, make_loss

GOLDEN = json.loads(Path(__file__).with_name("golden_losses.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["loss_kind"])
def test_value_and_gradient_are_those_of_the_published_code(case):
    inputs = GOLDEN["inputs"]
    logits = torch.tensor(inputs["logits"], dtype=torch.float64, requires_grad=True)
    loss = make_loss(case["loss_kind"], inputs["class_counts"])(logits, torch.tensor(inputs["labels"]))
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], abs=1e-9)
    assert torch.allclose(logits.grad, torch.tensor(case["gradient"], dtype=torch.float64), rtol=0, atol=1e-9)


counts = st.lists(st.integers(1, 10**5), min_size=2, max_size=6)


@given(counts)
@settings(deadline=None)
def test_class_balanced_weights_sum_to_the_classes_and_favour_the_rare(class_counts):
    weights = class_balanced_weights(class_counts)
    assert weights.sum().item() == pytest.approx(len(class_counts))
    assert weights.argmax() == torch.tensor(class_counts).argmin()


@given(st.integers(1, 1000), st.sampled_from(["class_balanced", "balanced_softmax"]))
@settings(deadline=None)
def test_equal_counts_give_the_plain_cross_entropy(count, kind):
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 2, 2, 0])
    plain = make_loss("cross_entropy", [count] * 3)(logits, labels)
    assert make_loss(kind, [count] * 3)(logits, labels).item() == pytest.approx(plain.item(), abs=1e-12)
