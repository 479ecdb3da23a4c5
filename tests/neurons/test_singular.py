import torch

from neurosearch.neurons.singular import leading_vectors


def matrix_with(values, num_rows, num_columns):
    """Return a matrix of given singular values and its left singular vectors."""
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(num_rows, len(values), dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(num_columns, len(values), dtype=torch.float64))
    return left * values @ right.T, left


def test_small_and_large_matrices_give_their_leading_vectors():
    for size in (20, 300):
        matrix, left = matrix_with(0.8 ** torch.arange(size, dtype=torch.float64), size + 50, size)
        found = leading_vectors(matrix, 5)
        torch.testing.assert_close((found * left[:, :5].T).sum(1).abs(), torch.ones(5, dtype=torch.float64))
        assert torch.equal(found, leading_vectors(matrix, 5))
        assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_missing_vectors_are_mixtures_of_those_that_there_are():
    for num_rows in (6, 400):
        matrix, left = matrix_with(torch.tensor([2.0, 1.0], dtype=torch.float64), num_rows, num_rows)
        found = leading_vectors(matrix, 5)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(5, dtype=torch.float64))
        torch.testing.assert_close(found @ left @ left.T, found)
        assert (torch.pdist(found) > 1e-3).all()
