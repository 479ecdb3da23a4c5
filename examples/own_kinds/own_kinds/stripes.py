"""The data: a source names itself and loads arrays; thinning, splitting and normalising are neurosearch's."""

import numpy as np

from neurosearch.data.arrays import RawArrays

_SIDE = 12
_NAMES = ("rows", "columns", "diagonals")


class StripesSource:
    """Images (n, 12, 12) of stripes with noise."""

    def __init__(self, num_train: int, num_test: int, noise: float, seed: int) -> None:
        self._sizes = (num_train, num_test)
        self._noise = noise
        self._seed = seed

    def identity(self) -> str:
        """Return a text that changes whenever the arrays do: prepared data is found by it."""
        return f"stripes 1, {self._sizes}, {self._noise}, {self._seed}"

    def load(self) -> RawArrays:
        """Return the arrays."""
        generator = np.random.default_rng(self._seed)
        (x_train, y_train), (x_test, y_test) = (self._part(generator, size) for size in self._sizes)
        return RawArrays(x_train, y_train, x_test, y_test, _NAMES, "HW", 255.0)

    def _part(self, generator: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.mgrid[:_SIDE, :_SIDE]
        labels = np.arange(size) % len(_NAMES)
        along = np.stack([rows, columns, rows + columns])[labels]  # (size, 12, 12)
        images = (along // 2 + generator.integers(2, size=(size, 1, 1))) % 2
        images = images + generator.normal(0.0, self._noise, images.shape)
        return (255 * images.clip(0, 1)).astype(np.uint8), labels
