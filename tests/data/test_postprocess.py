import torch

from neurosearch.data.postprocess import build_postprocess
from neurosearch.data.targets import TargetScaling


def test_outputs_come_back_in_the_users_units():
    postprocess = build_postprocess(TargetScaling(("a", "b"), (10.0, -2.0), (2.0, 0.5)))
    assert postprocess(torch.tensor([[0.0, 0.0], [1.0, -4.0]])).tolist() == [[10.0, -2.0], [12.0, -4.0]]
    assert not list(postprocess.parameters()), "an optimizer never sees the scaling"
    assert set(postprocess.state_dict()) == {"mean", "std"}


def test_logits_stay_as_they_are():
    logits = torch.randn(3, 2)
    assert build_postprocess(None)(logits) is logits
