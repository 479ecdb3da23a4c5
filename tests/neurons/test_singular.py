import torch

from neurosearch.neurons.singular import leading_vectors


def matrix_with(values, num_rows, num_columns):
    """Return a matrix of given singular values and its left singular vectors."""
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(num_rows, len(values), dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(num_columns, len(values), dtype=torch.float64))
    return left * values @ right.T, left


def leading(matrix, count, rank=None):
    return leading_vectors(
        lambda some: some @ matrix.T, lambda some: some @ matrix, matrix.shape, count, rank or min(matrix.shape)
    )


def test_small_matrices_give_their_leading_vectors_exactly():
    for num_columns in (9, 30):
        matrix, left = matrix_with(0.9 ** torch.arange(9, dtype=torch.float64), 10, num_columns)
        found = leading(matrix, 4)
        torch.testing.assert_close((found * left[:, :4].T).sum(1).abs(), torch.ones(4, dtype=torch.float64))
        assert torch.equal(found, leading(matrix, 4))
        assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_small_matrices_are_decomposed_by_either_side():
    matrix, left = matrix_with(0.5 ** torch.arange(5, dtype=torch.float64), 40, 5)
    found = leading(matrix, 3)
    torch.testing.assert_close((found * left[:, :3].T).sum(1).abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found @ found.T, torch.eye(3, dtype=torch.float64))


def test_a_known_rank_spares_vectors_and_changes_none():
    matrix, left = matrix_with(0.5 ** torch.arange(6, dtype=torch.float64), 300, 200)
    found = leading(matrix, 4, rank=6)
    torch.testing.assert_close((found * left[:, :4].T).sum(1).abs(), torch.ones(4, dtype=torch.float64))
    filled = leading(matrix, 20, rank=6)
    torch.testing.assert_close(filled[:6].abs(), leading(matrix, 6, rank=6).abs())
    torch.testing.assert_close(filled @ left @ left.T, filled)


def test_large_matrices_give_vectors_that_are_nearly_as_good():
    values = 0.9 ** torch.arange(200, dtype=torch.float64)
    matrix, _ = matrix_with(values, 300, 200)
    found = leading(matrix, 10)
    torch.testing.assert_close(found @ found.T, torch.eye(10, dtype=torch.float64))
    assert (found @ matrix).norm() > 0.99 * values[:10].norm()


def test_missing_vectors_are_mixtures_of_those_that_there_are():
    for num_rows in (6, 400):
        matrix, left = matrix_with(torch.tensor([2.0, 1.0], dtype=torch.float64), num_rows, num_rows)
        found = leading(matrix, 5)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(5, dtype=torch.float64))
        torch.testing.assert_close(found @ left @ left.T, found)
        assert (torch.pdist(found) > 1e-3).all()


def test_a_matrix_of_zeros_has_none():
    assert leading(torch.zeros(5, 4, dtype=torch.float64), 2) is None
