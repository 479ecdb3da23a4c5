"""Long-tailed training sets: how many images each class keeps, and which.

Both profiles and the drawing rule are those of the public CIFAR-LT repositories (LDAM-DRW, arXiv:1906.07413, and its
many descendants), truncation included, so that counts can be compared with published ones.
"""

from dataclasses import dataclass, replace
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from neurosearch.data.problems import Problem, listed, name_class

Profile = Literal["exponential", "step"]


@dataclass(frozen=True)
class Imbalance:
    """How to thin the classes out.

    Attributes:
        profile: "exponential" falls by a constant factor from class to class; "step" cuts the second half.
        ratio: Largest class count over smallest, at least 1.
    """

    profile: Profile
    ratio: float


def class_counts(imbalance: Imbalance, largest: int, num_classes: int) -> tuple[int, ...]:
    """Return how many images each class keeps, in label order.

    Exponential: `int(largest * (1 / ratio) ** (c / (C - 1)))`. Step: the first `C // 2` classes keep `largest`, the
    others `int(largest / ratio)`. Both truncate, as published: 5000 images, ratio 100 and 10 classes give 5000 2997
    1796 1077 645 387 232 139 83 50.

    Args:
        imbalance: The profile and its ratio.
        largest: Images of the largest class; the same for all classes before thinning.
        num_classes: At least 2.
    """
    match imbalance.profile:
        case "exponential":
            shrink = 1 / imbalance.ratio
            return tuple(int(largest * shrink ** (c / (num_classes - 1))) for c in range(num_classes))
        case "step":
            head = num_classes // 2
            return (largest,) * head + (int(largest / imbalance.ratio),) * (num_classes - head)
        case _:
            assert_never(imbalance.profile)


def subsample(labels: npt.NDArray[np.int64], counts: tuple[int, ...], seed: int) -> npt.NDArray[np.int64]:
    """Return the positions kept, class after class in label order.

    One `RandomState(seed)` serves all classes: each class's positions are shuffled and the first `counts[c]` are kept.
    This is the published rule, so seed 0 on torchvision's CIFAR-10 gives the published subset.

    Args:
        labels: (num_images,), values 0..C-1.
        counts: Images to keep per class, at most what the class has.
        seed: Taken modulo 2**32, numpy's range for this generator.
    """
    generator = np.random.RandomState(seed % 2**32)
    kept = []
    for label, count in enumerate(counts):
        positions = np.flatnonzero(labels == label)
        assert count <= len(positions)
        generator.shuffle(positions)
        kept.append(positions[:count])
    return np.concatenate(kept)


def check_imbalance(
    imbalance: Imbalance, largest: int, class_names: tuple[str, ...], field: str = "data.imbalance.ratio"
) -> list[Problem]:
    """Return what is wrong with thinning classes of `largest` images each: a bad ratio, classes left empty."""
    if not (np.isfinite(imbalance.ratio) and imbalance.ratio >= 1):
        return [
            Problem(field, f"the ratio is {imbalance.ratio}, but the largest class over the smallest is at least 1")
        ]
    counts = class_counts(imbalance, largest, len(class_names))
    empty = [name_class(label, class_names) for label, count in enumerate(counts) if count == 0]
    if not empty:
        return []
    text = (
        f"a ratio of {imbalance.ratio:g} leaves {listed(empty)} without a training image ({largest} images in the "
        f"smallest class before thinning). Lower the ratio to at most {_largest_ratio(imbalance, largest, len(counts))}"
        ", which leaves each class 2: one to train, one to validate."
    )
    return [Problem(field, text)]


def _largest_ratio(imbalance: Imbalance, largest: int, num_classes: int) -> int:
    """Return the largest whole ratio with 2 images in each class; truncation can ask for less than half of them."""
    ratios = (replace(imbalance, ratio=ratio) for ratio in range(largest // 2, 0, -1))
    return next((int(each.ratio) for each in ratios if min(class_counts(each, largest, num_classes)) > 1), 1)
