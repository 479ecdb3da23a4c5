"""Leading singular vectors of a matrix that can only be multiplied, the same ones on every call.

Shape letters: r rows and c columns of the matrix, n and q vectors.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_EXTRA = 8  # vectors beside those that are asked for: they take up what would blur them
_ITERATIONS = 1
_SMALL = 2  # times as many rows as vectors are multiplied at once
_TOLERANCE = 1e-5  # of the largest singular value: smaller ones are rounding

Product = Callable[[Tensor], Tensor]


def leading_vectors(by_columns: Product, by_rows: Product, shape: tuple[int, int], count: int) -> Tensor | None:
    """Return left singular vectors, the largest singular value first, `(n, r)`, or None if the matrix is 0.

    A subspace iteration (Halko et al., arXiv:0909.4061, algorithm 4.4); small matrices come out exactly. Where the rank
    is too low (c classes leave c - 1 directions behind the last layer), the missing vectors are mixtures of those that
    there are, so that none is useless and no two are the same.

    Args:
        by_columns: Multiplies the matrix with columns' vectors: `(q, c)` to `(q, r)`, in float64 on the CPU.
        by_rows: Multiplies its transpose with rows' vectors: `(q, r)` to `(q, c)`.
        shape: r and c.
        count: n. Each vector has length 1 and its largest entry above 0.
    """
    generator = torch.Generator().manual_seed(0)
    basis = _basis(by_columns, by_rows, shape, count + _EXTRA, generator)
    product = by_rows(basis)
    squares, turned = torch.linalg.eigh(product @ product.T)
    values = squares.clamp(min=0).sqrt().flip(0)
    rank = int((values > _TOLERANCE * values[0]).sum())
    if not rank:
        return None
    vectors = (turned.flip(1).T @ basis)[: min(rank, count)]
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    shares = torch.randn(count - len(vectors), len(vectors), generator=generator, dtype=torch.float64)
    return torch.cat([vectors, F.normalize(shares * values[: len(vectors)] @ vectors, dim=1)])


def _basis(
    by_columns: Product, by_rows: Product, shape: tuple[int, int], width: int, generator: torch.Generator
) -> Tensor:
    """Return orthonormal rows' vectors whose span holds the leading ones, `(q, r)`."""
    num_rows, num_columns = shape
    if num_rows <= _SMALL * width:
        return torch.eye(num_rows, dtype=torch.float64)
    start = torch.randn(min(width, num_columns), num_columns, generator=generator, dtype=torch.float64)
    basis = _orthonormal(by_columns(start))
    for _ in range(_ITERATIONS if width < num_columns else 0):
        basis = _orthonormal(by_columns(_orthonormal(by_rows(basis))))
    return basis


def _orthonormal(vectors: Tensor) -> Tensor:
    """Return as many orthonormal vectors that span the same space, at most as many as have room in it."""
    basis: Tensor = torch.linalg.qr(vectors.T).Q.T
    return basis
