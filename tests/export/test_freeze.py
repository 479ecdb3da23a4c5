import torch

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
