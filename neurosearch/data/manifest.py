"""The manifest of prepared data: what lies in the folder and how it came about, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from neurosearch.data.arrays import Layout
from neurosearch.data.problems import DataError, Problem
from neurosearch.data.spec import PreprocessSpec
from neurosearch.data.targets import TargetScaling

FORMAT_VERSION = 1
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What is known about prepared data.

    Attributes:
        format_version: Of the folder; another version is refused.
        data_hash: sha256 of the source's arrays and class names: the same content has the same hash in any file.
        class_names: C names in label order; none where quantities are learned.
        train_counts: Training images per class; one count of all where there are no classes.
        validation_counts: Validation images per class.
        test_counts: Test images per class.
        layout: What the axes of one raw example mean.
        dtype: Of the raw values.
        raw_shape: Of one raw example.
        input_shape: Of one example as the network reads it: (F,) or (C, H, W).
        scale: Divisor of the raw values.
        resize: Height and width in pixels that images were brought to, None for as they were.
        value_range: Smallest and largest raw value of the training part.
        mean: Per channel or feature, of the scaled training part.
        std: As `mean`, the standard deviation, nowhere 0.
        targets: How the quantities that are learned were scaled; None where classes are learned.
        is_normalised: Whether the parts lie there normalised; else as stored, to be normalised batch by batch.
    """

    format_version: int
    data_hash: str
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    validation_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    layout: Layout
    dtype: Literal["uint8", "float32"]
    raw_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    scale: float
    resize: tuple[int, int] | None
    value_range: tuple[float, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    targets: TargetScaling | None = None
    is_normalised: bool = True

    @property
    def num_classes(self) -> int:
        """Return C, 0 where there are no classes."""
        return len(self.class_names)

    @property
    def num_outputs(self) -> int:
        """Return how many outputs a network has: one for each class, or for each quantity that is learned."""
        return self.num_classes if self.targets is None else len(self.targets.names)

    @property
    def targets_of_one(self) -> tuple[str, tuple[int, ...]]:
        """Return dtype and shape of one example's targets: a label, or T standardised quantities."""
        return ("int64", ()) if self.targets is None else ("float32", (len(self.targets.names),))

    @property
    def spec(self) -> PreprocessSpec:
        """Return what the preprocessing is made of, besides mean and deviation."""
        return PreprocessSpec(self.layout, self.dtype, self.raw_shape, self.scale, self.resize)

    @property
    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return dtype and shape of every array in the folder, by file name without its ending."""
        expected = {}
        y_dtype, y_shape = self.targets_of_one
        counts = {"train": self.train_counts, "validation": self.validation_counts, "test": self.test_counts}
        for part, per_class in counts.items():
            if self.is_normalised:
                expected[f"{part}_x"] = ("float32", (sum(per_class), *self.input_shape))
            expected[f"{part}_y"] = (y_dtype, (sum(per_class), *y_shape))
            if part != "train" or not self.is_normalised:
                expected[f"{part}_raw"] = (self.dtype, (sum(per_class), *self.raw_shape))
        return expected

    def to_json(self) -> str:
        """Return the manifest as JSON, one field a line."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder.

    Raises:
        DataError: If there is none, it is damaged, or it has another format version.
    """
    path = folder / FILE_NAME
    remedy = "Delete the folder; the next search makes it again."
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        version = stored["format_version"]
        if version == FORMAT_VERSION:
            targets = scaling_from(stored.pop("targets", None))
            return Manifest(**{name: with_tuples(value) for name, value in stored.items()}, targets=targets)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"{path} cannot be read as the manifest of prepared data: {error}. {remedy}"
        raise DataError([Problem("data", text)]) from error
    text = f"{folder} has format version {version}, but this neurosearch reads version {FORMAT_VERSION}. {remedy}"
    raise DataError([Problem("data", text)])


def with_tuples(value: Any) -> Any:
    """Return a value read from JSON with tuples for lists, at any depth."""
    return tuple(with_tuples(each) for each in value) if isinstance(value, list) else value


def scaling_from(stored: Mapping[str, Any] | None) -> TargetScaling | None:
    """Return a scaling read from JSON; None where none was stored."""
    return None if stored is None else TargetScaling(**{name: with_tuples(value) for name, value in stored.items()})
