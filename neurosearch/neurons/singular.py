"""Leading singular vectors, the same ones on every call.

Shape letters: r rows and c columns of a matrix, n vectors.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_EXACT_SIZE = 256  # matrices up to this size are decomposed in full
_ITERATIONS, _EXTRA = 8, 8  # of the subspace iteration for larger ones
_TOLERANCE = 1e-5  # of the largest singular value: smaller ones are rounding


def leading_vectors(matrix: Tensor, count: int) -> Tensor:
    """Return left singular vectors, the largest singular value first, `(n, r)`.

    Where the matrix has too low a rank (c classes leave c - 1 directions behind the last layer), the missing vectors
    are mixtures of those that there are, so that none is useless and no two are the same.

    Args:
        matrix: `(r, c)`, not all 0.
        count: Number of vectors, each of length 1 and with its largest entry above 0.
    """
    left, values = _decomposed(matrix, count)
    rank = int((values > _TOLERANCE * values[0]).sum())
    left = left[:, : min(rank, count)]
    left = left * left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    generator = torch.Generator().manual_seed(0)
    shares = torch.randn(count - left.shape[1], left.shape[1], generator=generator, dtype=matrix.dtype)
    mixtures = (shares * values[: left.shape[1]]) @ left.T
    return torch.cat([left.T, F.normalize(mixtures, dim=1)])


def _decomposed(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return at least `count` left singular vectors, if there are as many, and the singular values."""
    width = min(count + _EXTRA, *matrix.shape)
    if min(matrix.shape) <= _EXACT_SIZE or 2 * width > min(matrix.shape):
        left, values, _ = torch.linalg.svd(matrix, full_matrices=False)
        return left, values
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(matrix.shape[1], width, generator=generator, dtype=matrix.dtype)
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(matrix.T @ torch.linalg.qr(matrix @ basis).Q).Q
    basis = torch.linalg.qr(matrix @ basis).Q
    left, values, _ = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    return basis @ left, values
