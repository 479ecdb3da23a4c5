"""Which of a source's images train, which validate: thinning and splitting, decided before anything is written."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurosearch.data.arrays import ArraySource, LargeSource, RawArrays, check_arrays
from neurosearch.data.long_tail import Imbalance, check_imbalance, class_counts, subsample
from neurosearch.data.problems import DataError, Problem
from neurosearch.data.split import check_split, stratified_split
from neurosearch.data.targets import check_spread
from neurosearch.randomness import derive_seed

_FEWEST_EXAMPLES = 4  # two that train, two that validate


@dataclass(frozen=True)
class PrepareSettings:
    """How a source's arrays become the parts of a study; the source itself comes beside it.

    Attributes:
        imbalance: How the training part is thinned out; None leaves it as it is.
        validation_share: Share of every class of the (thinned) training part that is held out, in (0, 1).
        split_seed: Seed of the thinning and of the split.
        resize: Height and width in pixels that images are brought to; None leaves them.
    """

    imbalance: Imbalance | None
    validation_share: float
    split_seed: int
    resize: tuple[int, int] | None


@dataclass(frozen=True)
class Selection:
    """Positions in the source's training arrays, ascending."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]


def survey_checked(settings: PrepareSettings, source: ArraySource) -> RawArrays:
    """Return what `checked` does, of a large source only as far as it tells without reading all of its values."""
    return checked(settings, source.survey() if isinstance(source, LargeSource) else source.load())


def checked(settings: PrepareSettings, raw: RawArrays) -> RawArrays:
    """Return a source's arrays after finding nothing wrong with them or with what is asked of them.

    Raises:
        DataError: With every problem found.
    """
    problems = check_arrays(raw)
    if settings.resize is not None and raw.layout == "features":
        text = "the data are features, not images, so there is nothing to resize. Remove resize, or set data.layout."
        problems.append(Problem("data.resize", text))
    if not problems:  # counts of classes mean nothing before
        problems = check_targets_of(settings, raw) if raw.target_names else check_counts(settings, raw)
    if problems:
        raise DataError(problems)
    return raw


def check_targets_of(settings: PrepareSettings, raw: RawArrays) -> list[Problem]:
    """Return the problems of splitting examples with quantities, and of learning from those that train."""
    if len(raw.y_train) < _FEWEST_EXAMPLES:
        text = f"there are {len(raw.y_train)} training examples, but splitting them takes {_FEWEST_EXAMPLES}. Add some."
        return [Problem("data.path", text)]
    if problems := check_split((len(raw.y_train),), (), settings.validation_share):
        return problems
    train = raw.y_train[select(settings, raw).train]
    return [Problem("data.path", text) for text in check_spread(train, raw.target_names)]


def check_counts(settings: PrepareSettings, raw: RawArrays) -> list[Problem]:
    """Return the problems of thinning and splitting these classes."""
    problems = []
    if settings.imbalance is not None:
        smallest = int(np.bincount(raw.strata, minlength=len(raw.class_names)).min())
        problems = check_imbalance(settings.imbalance, smallest, raw.class_names)
    return problems + check_split(counts_of(settings, raw), raw.class_names, settings.validation_share)


def counts_of(settings: PrepareSettings, raw: RawArrays) -> tuple[int, ...]:
    """Return how many examples of each class train or validate, thinned out as asked."""
    counts = np.bincount(raw.strata, minlength=len(raw.class_names))
    if settings.imbalance is None or not settings.imbalance.ratio >= 1:
        return tuple(counts.tolist())
    return class_counts(settings.imbalance, int(counts.min()), len(counts))


def train_counts(settings: PrepareSettings, raw: RawArrays) -> tuple[int, ...]:
    """Return how many examples of each class train; data that nothing is wrong with."""
    trained = raw.strata[select(settings, raw).train]
    return tuple(np.bincount(trained, minlength=len(raw.class_names)).tolist())


def select(settings: PrepareSettings, raw: RawArrays) -> Selection:
    """Return the positions that train and those that validate, disjoint and stratified.

    Thinning takes the smallest class's count for all classes, so the profile is exact whatever the counts were.
    """
    labels = raw.strata
    kept = np.arange(len(labels))
    if settings.imbalance is not None:
        counts = np.bincount(labels, minlength=len(raw.class_names))
        wanted = class_counts(settings.imbalance, int(counts.min()), len(counts))
        # Ascending, so that a mapped file is read from front to back; training shuffles anyway.
        kept = np.sort(subsample(labels, wanted, settings.split_seed))
    seed = derive_seed(settings.split_seed, "validation")
    train, validation = stratified_split(labels[kept], settings.validation_share, seed)
    return Selection(kept[train], kept[validation])
