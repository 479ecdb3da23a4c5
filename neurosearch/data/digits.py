"""scikit-learn's digits: 1,797 grey images of 8 x 8 pixels in 10 classes, part of the library, so always at hand."""

from importlib.util import find_spec
from pathlib import Path

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
        table = np.loadtxt(_file(), np.uint8, delimiter=",")  # a line holds 64 pixels and the class
        x, y = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
        train, test = stratified_split(y, _TEST_SHARE, _TEST_SEED)
        return RawArrays(x[train], y[train], x[test], y[test], tuple(str(label) for label in range(10)), "HW", 16.0)


def _file() -> Path:
    """Return the library's own file, without the seconds that its import takes."""
    found = find_spec("sklearn")
    assert found is not None, "scikit-learn is a dependency"
    assert found.origin is not None, "it is a package in a folder"
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
