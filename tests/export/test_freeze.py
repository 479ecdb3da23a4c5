import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurosearch.data.postprocess import build_postprocess
from neurosearch.data.preprocess import Preprocess
from neurosearch.data.spec import PreprocessSpec
from neurosearch.data.targets import scaling_of
from neurosearch.export.freeze import Deployed


def test_it_maps_raw_examples_to_the_networks_logits(cases):
    data, network, _ = cases["cnn-HWC-resized"]
    network.eval()
    expected = network(torch.from_numpy(data.validation().x))
    logits = Deployed(data.preprocess(), network, data.postprocess())(torch.from_numpy(data.raw_validation().x))
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)


def test_the_callers_network_stays_as_it_is(cases):
    data, network, _ = cases["cnn-HW"]
    network.train()
    deployed = Deployed(data.preprocess(), network, data.postprocess())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training for module in deployed.modules())
    assert not any(parameter.requires_grad for parameter in deployed.parameters())


@given(st.integers(0, 10**6), st.integers(1, 3), st.floats(-5, 5), st.floats(-100, 100))
@settings(deadline=None, max_examples=50)
def test_a_deployed_regression_undoes_the_scaling_of_its_targets(seed, num_targets, size, offset):
    y = (np.random.default_rng(seed).normal(size=(20, num_targets)) + offset) * 10.0**size
    scaling = scaling_of(y, tuple(f"y{index}" for index in range(num_targets)))
    preprocess = Preprocess(PreprocessSpec("features", "float32", (4,), 2.0, None), torch.ones(4), 3 * torch.ones(4))
    network = nn.Linear(4, num_targets)
    raw = torch.randn(7, 4, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        standardised = network(preprocess(raw)).double().numpy()
        found = Deployed(preprocess, network, build_postprocess(scaling))(raw).double().numpy()
    expected = standardised * np.array(scaling.std) + np.array(scaling.mean)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * (1 + abs(offset)) * 10.0**size)
