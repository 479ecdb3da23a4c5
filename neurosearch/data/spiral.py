"""Spiral arms in the plane, one for each class, scaled as the code of arXiv:2501.18012 does it.

Shape letters: n points, k points of one arm.
"""

import numpy as np
import numpy.typing as npt

from neurosearch.data.arrays import RawArrays
from neurosearch.data.split import stratified_split
from neurosearch.randomness import derive_seed

_RADIUS = 5.0  # of an arm's end; the scaling undoes it
_ANGLE = 4.0  # radians that an arm winds through, and by which the next one is ahead


class SpiralSource:
    """Arms of points whose radius grows evenly and whose angle grows with it, plus normal noise.

    Arm c has radii from 0 to 5 and angles from 4 c to 4 (c + 1); x = radius * sin(angle), y = radius * cos(angle). Both
    are then moved and stretched to fill [-1, 1] over all points. The values stand already as a network reads them, so
    nothing is standardised.

    Source: arXiv:2501.18012, the authors' repository N3, `spiral`; their test part is not stratified, ours is.
    """

    def __init__(self, num_points: int, num_classes: int, noise: float, test_share: float, seed: int) -> None:
        """Take how many points there are in all, how many arms, and the noise of an angle.

        Args:
            num_points: Of all arms together; each gets the same number, and what is left over is left out.
            num_classes: Number of arms.
            noise: Standard deviation of an angle, in radians.
            test_share: Share of every arm that becomes the test part.
            seed: From which the noise and the test part are drawn.
        """
        self._num_points, self._num_classes, self._noise = num_points, num_classes, noise
        self._test_share, self._seed = test_share, seed

    def identity(self) -> str:
        """Return everything that the data depend on."""
        return f"spiral {[self._num_points, self._num_classes, self._noise, self._test_share, self._seed]!r}"

    def load(self) -> RawArrays:
        """Return the points, x (n, 2) in float32 and labels (n,)."""
        points, labels = self._arms()
        lowest, highest = points.min(0), points.max(0)
        x = (2 * (points - lowest) / (highest - lowest) - 1).astype(np.float32)
        train, test = stratified_split(labels, self._test_share, derive_seed(self._seed, "spiral test"))
        names = tuple(str(label) for label in range(self._num_classes))
        return RawArrays(x[train], labels[train], x[test], labels[test], names, "features", 1.0, is_scaled=True)

    def _arms(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        generator = np.random.default_rng(derive_seed(self._seed, "spiral"))
        size = self._num_points // self._num_classes
        radii = _RADIUS * np.linspace(0, 1, size)  # (k,)
        arms = []
        for arm in range(self._num_classes):
            angles = np.linspace(_ANGLE * arm, _ANGLE * (arm + 1), size) + self._noise * generator.normal(size=size)
            arms.append(np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=1))  # (k, 2)
        return np.concatenate(arms), np.repeat(np.arange(self._num_classes), size)
