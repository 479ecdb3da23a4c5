import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosearch.neurons import reindex as reindex_module
from neurosearch.neurons.allocation import Room
from neurosearch.neurons.reindex import Reindex, is_channels_last, reindexed

NEW = -1
some = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
dtypes = st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.complex128, torch.int8, torch.bool])
orders = st.sampled_from(["contiguous", "channels_last", "transposed"])


@pytest.fixture(params=["small", "large"])
def sizes(request, monkeypatch):
    if request.param == "large":
        monkeypatch.setattr(reindex_module, "_SMALL_BYTES", 0)
        monkeypatch.setattr(reindex_module, "CHUNK_BYTES", 64)


def draw_change(data, size):
    run = data.draw(st.sampled_from([run for run in (1, 2, 3) if size % run == 0]))
    old = list(range(size // run))
    kept = data.draw(st.lists(st.sampled_from(old), min_size=1, unique=True).map(sorted))
    for _ in range(data.draw(st.integers(0, 2))):
        kept.insert(data.draw(st.integers(0, len(kept))), NEW)
    source = torch.tensor(kept)
    only_appends = kept[: len(old)] == old
    return kept, Reindex(source.clamp(min=0), (source < 0).nonzero().flatten(), run, size, only_appends)


def expected(tensor, dimension, kept, run):
    """Return a tensor of which some runs of positions are kept in one dimension; new ones hold 0."""
    parts = [
        torch.zeros_like(tensor.narrow(dimension, 0, run)) if old == NEW else tensor.narrow(dimension, old * run, run)
        for old in kept
    ]
    return torch.cat(parts, dimension)


def draw_tensors(data, shape):
    dtype, order = data.draw(dtypes), data.draw(orders)
    tensors = []
    for seed in range(3):
        values = 9 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        tensor = values.to(dtype)
        if order == "channels_last" and tensor.ndim == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        if order == "transposed":
            tensor = tensor.transpose(0, -1).contiguous().transpose(0, -1)
        tensors.append(tensor)
    return tensors


@some
@given(data=st.data())
def test_every_tensor_equals_plain_indexing_and_the_old_one_is_untouched(sizes, data):
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    tensors = draw_tensors(data, shape)
    copies = [tensor.clone() for tensor in tensors]
    changes, results = {}, list(tensors)
    for dimension in sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))):
        kept, changes[dimension] = draw_change(data, shape[dimension])
        results = [expected(one, dimension, kept, changes[dimension].run) for one in results]
    for old, copied, new, result in zip(tensors, copies, reindexed(tensors, changes, Room()), results, strict=True):
        assert torch.equal(new, result)
        assert torch.equal(old, copied)
        assert is_channels_last(new) == is_channels_last(old) or 1 in new.shape or new.ndim < 4


def test_tensors_that_differ_are_changed_each_by_itself(sizes):
    source = torch.tensor([0, 2])
    change = Reindex(source, source[:0], 1, 3, only_appends=False)
    weight = torch.rand(3, 4)
    whole, factored, elsewhere = reindexed([weight, torch.rand(1, 4), weight.t().contiguous().t()], {0: change}, Room())
    assert torch.equal(whole, weight[[0, 2]])
    assert torch.equal(elsewhere, weight[[0, 2]])
    assert factored.shape == (1, 4)


def test_signs_of_zeros_and_what_is_no_number_are_kept(sizes):
    weight = torch.tensor([[-0.0, 1.0, float("nan")], [float("inf"), -float("inf"), 1e-45]])
    source = torch.tensor([0, 2])
    new = reindexed([weight], {1: Reindex(source, source[:0], 1, 3, only_appends=False)}, Room())[0]
    assert new.view(torch.int32).tolist() == weight[:, [0, 2]].view(torch.int32).tolist()
