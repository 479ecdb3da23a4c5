"""What a data set holds, in words: its classes and how many examples each has."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from neurosearch.config.trial import TrialConfig, kind_of

if TYPE_CHECKING:
    from neurosearch.data.arrays import RawArrays


@dataclass(frozen=True)
class DataWords:
    """What a data set holds.

    Attributes:
        source: Its kind, and where it lies.
        outputs: Names of the classes, or of the quantities that are learned.
        train: Examples of each class that train and validate, thinned as the config wants it; of quantities, of all.
        test: Examples of each class that test.
        learns_classes: Whether the outputs are classes.
    """

    source: str
    outputs: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    learns_classes: bool

    @property
    def line(self) -> str:
        """Return it as one line; of many classes, the first."""
        from neurosearch.data.problems import listed

        what = f"{self.source}: {sum(self.train):,} examples train and validate, {sum(self.test):,} test"
        if not self.learns_classes:
            return f"{what}; learned: {listed(self.outputs)}."
        counts = zip(self.outputs, self.train, self.test, strict=True)
        each = [f"{name} ({train:,} + {test:,})" for name, train, test in counts]
        return f"{what}; {len(self.outputs):,} classes with so many of both: {listed(each)}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def words_of(config: TrialConfig, raw: "RawArrays") -> DataWords:
    """Returns what a data set holds that nothing is wrong with."""
    import numpy as np

    from neurosearch.build.trial import prepare_settings
    from neurosearch.data.selection import counts_of

    place = getattr(config.data, "path", None)
    source = kind_of(config.data) if place is None else f"{kind_of(config.data)} {place}"
    if raw.target_names:
        return DataWords(source, raw.target_names, (len(raw.y_train),), (len(raw.y_test),), learns_classes=False)
    test = tuple(np.bincount(raw.y_test.astype(np.int64), minlength=len(raw.class_names)).tolist())
    return DataWords(source, raw.class_names, counts_of(prepare_settings(config.data), raw), test, learns_classes=True)
