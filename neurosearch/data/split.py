"""A stratified part: the same share of every class, at least one image of it on either side."""

import numpy as np
import numpy.typing as npt

from neurosearch.data.problems import Problem, listed, name_class

Positions = npt.NDArray[np.int64]


def stratified_split(labels: npt.NDArray[np.int64], share: float, seed: int) -> tuple[Positions, Positions]:
    """Return the positions that stay and those held out, each ascending.

    Every class gives `share` of its images, rounded, but at least one, and keeps at least one.

    Args:
        labels: (num_images,), values 0..C-1; every class that occurs has at least 2 images.
        share: Share held out, in (0, 1).
        seed: The same seed and labels give the same parts.
    """
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        positions = generator.permutation(np.flatnonzero(labels == label))
        held_out[positions[: num_held_out(len(positions), share)]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def num_held_out(count: int, share: float) -> int:
    """Return how many of a class's `count` images are held out: the rounded share, at least 1, at most all but 1."""
    return min(max(1, round(share * count)), count - 1)


def check_split(
    counts: tuple[int, ...], class_names: tuple[str, ...], share: float, field: str = "data.validation_share"
) -> list[Problem]:
    """Return what is wrong with holding `share` out of classes with these counts; an empty class is said elsewhere."""
    if not 0 < share < 1:
        return [Problem(field, f"the share is {share}, but it must lie between 0 and 1, such as 0.2")]
    lone = [name_class(label, class_names) for label, count in enumerate(counts) if count == 1]
    if not lone:
        return []
    text = (
        f"{listed(lone)} {'has' if len(lone) == 1 else 'have'} 1 training image, so it cannot stand in both the "
        "training and the validation part. Give each class at least 2 images (3 where data.test_share holds one of "
        "them out), or lower the imbalance ratio."
    )
    return [Problem(field, text)]
