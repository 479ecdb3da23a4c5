import pytest
import torch
from torch import nn

from neurosearch.models.cnn import Cnn, CnnShape
from neurosearch.models.pretrained import fit, load, strip_prefix

HEAD = {"head.weight", "head.bias"}


def network(num_outputs=3, widths=(4, 5), channels=1):
    return Cnn(CnnShape((channels, 8, 8), widths, num_outputs, 0.0))


def equal(left, right, names):
    return all(torch.equal(left[name], right[name]) for name in names)


def test_the_same_network_is_taken_whole():
    stored, own = network().state_dict(), network()
    found = fit(own.state_dict(), HEAD, stored)
    load(own, stored, found)
    assert found.is_whole
    assert equal(own.state_dict(), stored, stored)


def test_a_head_of_another_size_stays_as_drawn():
    stored, own = network(7).state_dict(), network(3)
    drawn = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    found = fit(own.state_dict(), HEAD, stored)
    load(own, stored, found)
    assert equal(own.state_dict(), drawn, HEAD)
    assert equal(own.state_dict(), stored, set(stored) - HEAD)
    assert found.replaced == ("head.weight", "head.bias")
    assert "the class head starts anew (head.weight, head.bias), its size is another" in found.words


def test_what_matches_nothing_is_named():
    stored = network().state_dict()
    del stored["blocks.0.1.bias"]
    stored["extra.weight"] = torch.zeros(2)
    found = fit(network().state_dict(), HEAD, stored)
    assert (found.absent, found.unused) == (("blocks.0.1.bias",), ("extra.weight",))
    assert "the file lacks blocks.0.1.bias, which start anew" in found.words
    assert "the network has no extra.weight, which are left out" in found.words


def test_old_files_without_counters_of_batch_norm_fit_whole():
    stored = {name: each for name, each in network().state_dict().items() if not name.endswith("num_batches_tracked")}
    assert fit(network().state_dict(), HEAD, stored).is_whole


@pytest.mark.parametrize("other", [network(widths=(4, 6)), network(channels=3)])
def test_other_widths_or_channels_are_refused_by_name(other):
    with pytest.raises(ValueError, match=r"tensors have another shape: .*in the file.* the widths") as caught:
        fit(network().state_dict(), HEAD, other.state_dict())
    assert ("blocks.1.0.weight (6 x 4 x 3 x 3 in the file, 5 x 4 x 3 x 3 in the network)" in str(caught.value)) == (
        other.shape.widths == (4, 6)
    )


def test_a_file_of_another_kind_of_network_is_refused_with_both_names():
    with pytest.raises(ValueError, match=r"nothing in the file fits the network: it holds 0\.weight, 0\.bias, and the"):
        fit(network().state_dict(), HEAD, nn.Sequential(nn.Linear(2, 2)).state_dict())


def test_a_head_alone_is_nothing():
    stored = {name: tensor for name, tensor in network().state_dict().items() if name in HEAD}
    with pytest.raises(ValueError, match="nothing in the file fits"):
        fit(network().state_dict(), HEAD, stored)


def test_values_that_are_not_finite_are_refused_by_name():
    stored = network().state_dict()
    stored["blocks.0.0.weight"][0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"^blocks\.0\.0\.weight hold values that are not finite"):
        fit(network().state_dict(), HEAD, stored)


def test_whole_numbers_in_place_of_weights_are_refused():
    stored = {**network().state_dict(), "blocks.0.0.weight": torch.zeros(4, 1, 3, 3, dtype=torch.int8)}
    with pytest.raises(ValueError, match=r"blocks\.0\.0\.weight \(torch\.int8\) hold another kind of number"):
        fit(network().state_dict(), HEAD, stored)


def test_half_precision_is_converted():
    stored, own = {name: each.bfloat16() for name, each in network().state_dict().items()}, network()
    stored |= {name: each for name, each in network().state_dict().items() if not each.is_floating_point()}
    load(own, stored, fit(own.state_dict(), HEAD, stored))
    weight = own.state_dict()["blocks.0.0.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, stored["blocks.0.0.weight"].float())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "network."])
def test_what_others_put_before_the_names_is_taken_off(prefix):
    own = network().state_dict()
    stored = {prefix + name: tensor for name, tensor in own.items()} | {"preprocess.mean": torch.zeros(1)}
    found = fit(own, HEAD, strip_prefix(own, stored))
    assert (len(found.loaded), found.unused) == (len(own), ("preprocess.mean",))


def test_a_network_without_numbers_is_compared_too():
    with torch.device("meta"):
        own = network(5)
    assert fit(own.state_dict(), HEAD, network(3).state_dict()).replaced == ("head.weight", "head.bias")
