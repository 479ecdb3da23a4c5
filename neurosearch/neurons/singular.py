"""Leading singular vectors of a matrix that can only be multiplied, the same ones on every call.

Shape letters: r rows and c columns of the matrix, n and q vectors.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_EXTRA = 8  # vectors beside those that are asked for: they take up what would blur them
_ITERATIONS = 1
_SMALL = 2  # times as many rows or columns as vectors are multiplied at once
_TOLERANCE = 1e-5  # of the largest singular value: smaller ones are rounding

Product = Callable[[Tensor], Tensor]


def leading_vectors(
    by_columns: Product, by_rows: Product, shape: tuple[int, int], count: int, rank: int
) -> Tensor | None:
    """Return left singular vectors, the largest value first, `(n, r)`, or None if the matrix is 0 or no number.

    A subspace iteration (Halko et al., arXiv:0909.4061, algorithm 4.4); small matrices come out exactly. Where the rank
    is too low (c classes leave c - 1 directions behind the last layer), the missing vectors are mixtures of those that
    there are, so that none is useless and no two are the same.

    Args:
        by_columns: Multiplies the matrix with columns' vectors: `(q, c)` to `(q, r)`, in float64 on the CPU.
        by_rows: Multiplies its transpose with rows' vectors: `(q, r)` to `(q, c)`.
        shape: r and c.
        count: n. Each vector has length 1 and its largest entry above 0.
        rank: An upper bound of the matrix's rank; a low one makes it cheaper.
    """
    generator = torch.Generator().manual_seed(0)
    rows, is_factor = _rows(by_columns, by_rows, shape, min(count + _EXTRA, rank), generator)
    products = rows if is_factor else by_rows(rows)
    # Squares are decomposed: half the digits are enough here, and cost a third.
    try:
        squares, turned = torch.linalg.eigh(products @ products.T)  # ascending
    except RuntimeError:  # LinAlgError, which has no public type: there is something that is no number
        return None
    num_useful = min(_num_above(squares.tolist(), _TOLERANCE**2), count)
    if not num_useful:
        return None
    values = squares[-num_useful:].flip(0).sqrt()
    vectors: Tensor = turned[:, -num_useful:].T.flip(0) @ rows
    if is_factor:
        vectors = vectors / values[:, None]
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    if num_useful == count:
        return vectors
    shares = torch.randn(count - num_useful, num_useful, generator=generator, dtype=torch.float64)
    return torch.cat([vectors, F.normalize(shares * values @ vectors, dim=1)])


def _num_above(squares: list[float], share: float) -> int:
    return sum(square > max(share * squares[-1], 0.0) for square in squares)


def _rows(
    by_columns: Product, by_rows: Product, shape: tuple[int, int], width: int, generator: torch.Generator
) -> tuple[Tensor, bool]:
    """Return rows' vectors whose span holds the leading ones, `(q, r)`, and whether they are the matrix's columns.

    If they are not, they are orthonormal.
    """
    num_rows, num_columns = shape
    if num_columns < num_rows and num_columns <= _SMALL * width:
        return by_columns(torch.eye(num_columns, dtype=torch.float64)), True
    if num_rows <= _SMALL * width:
        return torch.eye(num_rows, dtype=torch.float64), False
    basis = _orthonormal(by_columns(torch.randn(width, num_columns, generator=generator, dtype=torch.float64)))
    for _ in range(_ITERATIONS):
        basis = _orthonormal(by_columns(_orthonormal(by_rows(basis))))
    return basis, False


def _orthonormal(vectors: Tensor) -> Tensor:
    """Return as many orthonormal vectors that span the same space, at most as many as have room in it."""
    basis: Tensor = torch.linalg.qr(vectors.T).Q.T
    return basis
