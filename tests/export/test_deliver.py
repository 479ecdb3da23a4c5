from typing import Literal

import pytest
import torch
from torch import nn

from neurosearch.config.base import Fields
from neurosearch.config.kinds import Kind, kinds
from neurosearch.config.trial import TrialConfig
from neurosearch.export.deliver import model_for_card, model_from_card
from neurosearch.models.head import CosineLinear

TRIAL = {
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [6]},
    "training": {"epochs": 2},
    "growth": {"kind": "static"},
}


class ForkedFields(Fields):
    kind: Literal["forked"] = "forked"
    head: int = 5


def build_forked(fields, input_shape, num_outputs):
    return nn.Sequential(nn.Linear(*input_shape, fields.head), nn.ReLU(), nn.Linear(fields.head, num_outputs))


@pytest.mark.parametrize(("loss", "last"), [("cross_entropy", nn.Linear), ("ldam", CosineLinear)])
@pytest.mark.parametrize("is_own", [False, True])
def test_a_card_tells_the_last_layer_beside_whatever_fields_a_kind_has(is_own, loss, last, monkeypatch):
    monkeypatch.setitem(kinds("models"), "forked", Kind(ForkedFields, build_forked))
    config = TrialConfig.model_validate({**TRIAL, "training": {"epochs": 2, "loss": loss}})
    config = config.model_copy(update={"model": ForkedFields(head=7)}) if is_own else config
    network = model_from_card(model_for_card(config), (4,), 3)
    assert isinstance(list(network.modules())[-1], last)
    assert network(torch.zeros(2, 4)).shape == (2, 3)
    assert {tensor.shape[0] for tensor in network.parameters()} == {7 if is_own else 6, 3}
