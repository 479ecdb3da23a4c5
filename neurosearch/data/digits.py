"""scikit-learn's digits: 1,797 grey images of 8 x 8 pixels in 10 classes, part of the library, so always at hand."""

import numpy as np

from neurosearch.data.arrays import RawArrays
from neurosearch.data.split import stratified_split

_TEST_SHARE = 0.3
_TEST_SEED = 0  # fixed: the test part must be the same in every study, whatever the study's seed


class DigitsSource:
    """The digits with a fixed stratified test part of 30 %; pixels are whole numbers 0..16, stored as uint8."""

    def identity(self) -> str:
        """Return the fixed name: the images have not changed since scikit-learn first carried them."""
        return f"digits, test share {_TEST_SHARE}, seed {_TEST_SEED}"

    def load(self) -> RawArrays:
        """Return the two parts, images (num_images, 8, 8)."""
        from sklearn.datasets import load_digits  # a second of import that only this needs

        digits = load_digits()
        x, y = digits.images.astype(np.uint8), digits.target.astype(np.int64)
        train, test = stratified_split(y, _TEST_SHARE, _TEST_SEED)
        return RawArrays(x[train], y[train], x[test], y[test], tuple(str(label) for label in range(10)), "HW", 16.0)
