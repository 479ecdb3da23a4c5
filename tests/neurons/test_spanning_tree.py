import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.neurons import tree_correlation
from neurosearch.neurons.spanning_tree import spanning_tree

csgraph = pytest.importorskip("scipy.sparse.csgraph", reason="trees are compared with SciPy's")


def edges(tree):
    return {tuple(pair) for pair in tree.nonzero().tolist()}


@given(size=st.integers(2, 40), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_the_tree_is_scipys_minimum_spanning_tree(size, seed):
    similarity = np.random.default_rng(seed).uniform(0.01, 0.99, (size, size))
    similarity = np.triu(similarity, 1) + np.triu(similarity, 1).T
    expected = csgraph.minimum_spanning_tree(np.triu(1 - similarity, 1))
    found = spanning_tree(torch.from_numpy(similarity))
    assert edges(found) == set(zip(*map(np.ndarray.tolist, expected.nonzero()), strict=True))


@given(size=st.integers(2, 20), levels=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_among_equal_similarities_it_is_still_a_tree_of_the_least_length(size, levels, seed):
    similarity = np.random.default_rng(seed).integers(1, levels + 1, (size, size)) / 4
    similarity = np.triu(similarity, 1) + np.triu(similarity, 1).T
    tree = spanning_tree(torch.from_numpy(similarity)).numpy()
    joined = csgraph.minimum_spanning_tree(tree.astype(float))
    assert tree.sum() == joined.nnz == size - 1, "a ring, or several trees"
    smallest = csgraph.minimum_spanning_tree(np.triu(1 - similarity, 1))
    assert (1 - similarity)[tree].sum() == pytest.approx(smallest.sum())


@given(samples=st.integers(3, 12), size=st.integers(2, 7), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_it_is_the_mean_correlation_along_the_tree_and_has_its_slope(samples, size, seed):
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(samples, size, generator=generator, dtype=torch.float64).requires_grad_()
    correlations = np.abs(np.corrcoef(activations.detach().numpy().T))
    tree = csgraph.minimum_spanning_tree(np.triu(1 - correlations, 1))
    assert tree_correlation(activations).item() == pytest.approx(1 - tree.sum() / (size - 1))
    assert torch.autograd.gradcheck(tree_correlation, (activations,), rtol=1e-3, atol=1e-5)


def test_units_off_the_tree_edges_do_not_pull_at_each_other():
    torch.manual_seed(0)
    base = torch.randn(50, dtype=torch.float64)
    noise = torch.randn(50, 2, dtype=torch.float64)
    # 0 and 2 are both like 1, and less like each other: only (0, 1) and (1, 2) are edges.
    activations = torch.stack([base + 0.3 * noise[:, 0], base, base + 0.3 * noise[:, 1]], 1).requires_grad_()
    tree_correlation(activations).backward()
    first = activations.detach()[:, [0, 1]].requires_grad_()
    tree_correlation(first).backward()
    assert torch.allclose(activations.grad[:, 0], first.grad[:, 0] / 2)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1e4, -3e-5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_units_that_do_not_vary_are_like_no_other_and_have_no_slope(constant, dtype):
    torch.manual_seed(1)
    activations = torch.randn(64, 4).to(dtype)
    activations[:, 2] = constant
    activations.requires_grad_()
    value = tree_correlation(activations)
    value.backward()
    others = tree_correlation(activations.detach()[:, [0, 1, 3]])
    assert value.item() == pytest.approx(others.item() * 2 / 3, abs=1e-4)
    assert (activations.grad[:, 2] == 0).all()
    assert activations.grad.isfinite().all()


@pytest.mark.parametrize("spread", [2e-2, 1e-2, 1e-4, 1e-8, 1e-20, 1e-38])
def test_the_slope_of_a_unit_that_hardly_varies_is_bounded(spread):
    torch.manual_seed(1)
    activations = torch.randn(64, 4)
    activations[:, 2] = spread * activations[:, 1]
    activations.requires_grad_()
    tree_correlation(activations).backward()
    assert activations.grad.isfinite().all()
    assert activations.grad.abs().max() < 20


def test_twins_are_wholly_correlated_and_so_are_opposites_at_any_scale():
    torch.manual_seed(2)
    unit = torch.randn(30)
    assert tree_correlation(torch.stack([unit, -3 * unit, 0.1 * unit + 5], 1)).item() == pytest.approx(1, abs=1e-4)
