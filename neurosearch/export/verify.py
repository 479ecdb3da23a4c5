"""Loads each exported file back and compares what it gives with what the network gives.

Shape letters: N examples, C classes, T targets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never

import numpy as np
import numpy.typing as npt
import torch

from neurosearch.data.targets import TargetScaling
from neurosearch.export.card import Card
from neurosearch.export.errors import ExportError
from neurosearch.export.freeze import Deployed
from neurosearch.export.inputs import rows_at_once
from neurosearch.export.predict import OnnxNetwork
from neurosearch.export.rebuild import ModelBuilder, load_network

Format = Literal["pt2", "onnx", "safetensors"]
FORMATS: tuple[Format, ...] = ("pt2", "onnx", "safetensors")
FILE_NAMES: dict[Format, str] = {"pt2": "network.pt2", "onnx": "network.onnx", "safetensors": "network.safetensors"}

TOLERANCE = 1e-5
_ROUNDINGS = 4  # of the sum, on either side, and of mean and product before it

Raw = npt.NDArray[Any]
Outputs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """How far a file's outputs are from the network's.

    Attributes:
        largest: Largest difference of a logit, in units of the largest logit where that is above 1: rounding in float32
            grows with the values. Of a quantity, in units of its deviation, likewise.
        changed: Examples with another prediction; one whose two best logits are closer than the tolerance has none. Of
            quantities: examples with one that differs by more than the tolerance.
        examples: N.
    """

    largest: float
    changed: int
    examples: int


def compare(expected: Outputs, found: Outputs) -> Difference:
    """Return the difference between two arrays of logits (N, C)."""
    assert expected.shape == found.shape
    scale = max(1.0, float(np.abs(expected).max()))
    largest = float(np.abs(found - expected).max()) / scale
    best = np.take_along_axis(expected, found.argmax(1)[:, None], 1)[:, 0]
    margin = expected.max(1) - best  # 0 where the predictions agree
    changed = int((margin > 2 * TOLERANCE * scale).sum())
    return Difference(largest if np.isfinite(found).all() else float("inf"), changed, len(expected))


def compare_quantities(expected: Outputs, found: Outputs, scaling: TargetScaling) -> Difference:
    """Return the difference between two arrays of quantities (N, T) in the user's units.

    The unit of each is what the network's own outputs have: deviations, at least the largest such output. What adding a
    large mean in float32 rounds off is allowed for.
    """
    assert expected.shape == found.shape
    mean, std = np.array(scaling.mean), np.array(scaling.std)
    units = std * np.maximum(1.0, (np.abs(expected - mean) / std).max(0))  # (T,)
    rounding = _ROUNDINGS * np.finfo(np.float32).eps * np.maximum(np.abs(expected).max(0), np.abs(mean))
    differences = np.maximum(np.abs(found.astype(np.float64) - expected) - rounding, 0) / units
    changed = int((~(differences <= TOLERANCE)).any(1).sum())
    return Difference(float(differences.max()) if np.isfinite(found).all() else float("inf"), changed, len(expected))


def verify(
    folder: Path, formats: tuple[Format, ...], deployed: Deployed, card: Card, raw: Raw, build_model: ModelBuilder
) -> dict[Format, Difference]:
    """Load every file of the folder back and compare it on raw examples, in batches and on a lone example.

    Args:
        folder: Holds the files under their names in `FILE_NAMES`.
        formats: What is there.
        deployed: The network that was written.
        card: What the files have to say about it.
        raw: (N, ...) raw validation examples, N at least 1.
        build_model: Builds the base network for safetensors.

    Raises:
        ExportError: If a file cannot be loaded, gives other predictions or differs by more than `TOLERANCE`.
    """
    expected = run_batches(_torch_runner(deployed), raw, rows_at_once(card))
    differences = {}
    for name in formats:
        found = _outputs(name, folder, card, raw, build_model)
        scaling = card.targets
        difference = compare(expected, found) if scaling is None else compare_quantities(expected, found, scaling)
        if difference.changed or not difference.largest <= TOLERANCE:
            raise ExportError(
                f"{FILE_NAMES[name]} does not give what the network gives: {difference.changed} of "
                f"{difference.examples} predictions differ, the largest difference is {difference.largest:.1e} "
                f"(at most {TOLERANCE:.0e}). Nothing was exported. Leave {name} out, or simplify the model."
            )
        differences[name] = difference
    return differences


def run_batches(run: Callable[[Raw], Outputs], raw: Raw, size: int) -> Outputs:
    """Return the outputs for raw examples, run in batches of a size, the first example by itself."""
    return np.concatenate([run(np.ascontiguousarray(batch)) for batch in _batches(raw, size)])


def _batches(raw: Raw, size: int) -> Iterator[Raw]:
    yield raw[:1]  # a batch size of 1 is what a graph with a wrong dynamic axis fails at
    for start in range(1, len(raw), size):
        yield raw[start : start + size]


def _outputs(name: Format, folder: Path, card: Card, raw: Raw, build_model: ModelBuilder) -> Outputs:
    path, size = folder / FILE_NAMES[name], rows_at_once(card)
    try:
        match name:
            case "pt2":
                return run_batches(_torch_runner(torch.export.load(path).module()), raw, size)
            case "onnx":
                network = OnnxNetwork(path)
                written = network.card
                outputs = run_batches(network.run, raw, size)
            case "safetensors":
                rebuilt, written = load_network(folder, build_model)
                outputs = run_batches(_torch_runner(rebuilt), raw, size)
            case _:
                assert_never(name)
    except Exception as error:  # the loaders raise whatever they like; what they said is chained
        raise ExportError(f"{path.name} cannot be used after writing: {error}. Nothing was exported.") from error
    if (written.class_names, written.targets, written.spec) != (card.class_names, card.targets, card.spec):
        raise ExportError(f"{path.name} carries another card than it was written with. Nothing was exported.")
    return outputs


def _torch_runner(module: torch.nn.Module) -> Callable[[Raw], Outputs]:
    def run(raw: Raw) -> Outputs:
        with torch.inference_mode():
            outputs: Outputs = module(torch.tensor(raw)).numpy()
        return outputs

    return run
