"""The card that travels with an exported network: all that is needed to read raw examples and to name the outputs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from neurosearch.data.arrays import Layout
from neurosearch.data.manifest import Manifest, scaling_from, with_tuples
from neurosearch.data.spec import PreprocessSpec
from neurosearch.data.targets import TargetScaling

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Card:
    """What is known about an exported network.

    Attributes:
        format_version: Of the card; another version is refused.
        model: The model section of the config that built the base network: `kind` and its fields.
        structure: What `neurons.structure` says about the final network, None if it still is the base network.
        class_names: C names, in the order of the outputs; none where the outputs are quantities.
        layout: What the axes of one raw example mean.
        dtype: Of the raw values.
        raw_shape: Of one raw example.
        input_shape: Of one example as the network reads it: (F,) or (C, H, W).
        scale: Divisor of the raw values.
        resize: Height and width in pixels that images are brought to, None for as they are.
        value_range: Smallest and largest raw value of the training part.
        data_hash: sha256 of the data that the network was trained by.
        targets: Names of the quantities that are the outputs, in their order, and the scaling of the training's targets
            that the file undoes; None where the outputs are logits of classes.
    """

    format_version: int
    model: Mapping[str, Any]
    structure: Mapping[str, Any] | None
    class_names: tuple[str, ...]
    layout: Layout
    dtype: Literal["uint8", "float32"]
    raw_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    scale: float
    resize: tuple[int, int] | None
    value_range: tuple[float, float]
    data_hash: str
    targets: TargetScaling | None = None

    @property
    def num_outputs(self) -> int:
        """Return how many outputs the network has."""
        return len(self.class_names) if self.targets is None else len(self.targets.names)

    @property
    def output_name(self) -> str:
        """Return what an ONNX file calls the outputs."""
        return "logits" if self.targets is None else "values"

    @property
    def spec(self) -> PreprocessSpec:
        """Return what the preprocessing is made of, besides mean and deviation."""
        return PreprocessSpec(self.layout, self.dtype, self.raw_shape, self.scale, self.resize)

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)


def make_card(manifest: Manifest, model: Mapping[str, Any], structure: Mapping[str, Any] | None) -> Card:
    """Return the card of a network that was trained by the data of `manifest`."""
    return Card(
        format_version=FORMAT_VERSION,
        model=model,
        structure=structure,
        class_names=manifest.class_names,
        layout=manifest.layout,
        dtype=manifest.dtype,
        raw_shape=manifest.raw_shape,
        input_shape=manifest.input_shape,
        scale=manifest.scale,
        resize=manifest.resize,
        value_range=manifest.value_range,
        data_hash=manifest.data_hash,
        targets=manifest.targets,
    )


def read_card(text: str) -> Card:
    """Return the card that `to_json` wrote.

    Raises:
        ValueError: If the text is no card, or one of another format version.
    """
    try:
        stored = json.loads(text)
        version = stored["format_version"]
        if version == FORMAT_VERSION:
            kept = ("model", "structure")  # these are anyone's plain values; the card's own lists are tuples
            targets = scaling_from(stored.pop("targets", None))
            own = {name: value if name in kept else with_tuples(value) for name, value in stored.items()}
            return Card(**own, targets=targets)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"this is not the card of an exported network: {error}. Export the network again.") from error
    raise ValueError(
        f"the card has format version {version}, but this neurosearch reads version {FORMAT_VERSION}. "
        "Export the network again, or use the version that exported it."
    )
