"""Runs an exported ONNX file on raw examples, with onnxruntime, numpy and Pillow alone: no torch.

Shape letters: N examples, C classes, T targets.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from neurosearch.export.card import Card, read_card
from neurosearch.export.errors import PredictError
from neurosearch.export.inputs import Examples, check_raw, is_images, open_images, open_npz, rows_at_once
from neurosearch.export.predictions import Answers, Predictions, Quantities

INPUT_NAME = "raw"
CARD_KEY = "neurosearch.card"

_ERRORS_ONLY = 3
# onnxruntime's errors have no common base but Exception.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OnnxNetwork:
    """An exported network, ready to run.

    Args:
        path: The ONNX file.

    Raises:
        PredictError: If it is no ONNX file, or not one of ours.
    """

    card: Card

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise PredictError(
                f"there is no file {path}. Give an exported network.onnx or its folder; a study's winner stands in "
                "the folder export of the study, such as runs/NAME/export."
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _ORT_ERRORS as error:
            raise PredictError(f"{path} cannot be read as an ONNX file: {error}. Export the network again.") from error
        stored = self._session.get_modelmeta().custom_metadata_map
        if CARD_KEY not in stored:
            raise PredictError(
                f"{path} does not say how to read raw examples. Give a network.onnx of `neurosearch export`."
            )
        try:
            self.card = read_card(stored[CARD_KEY])
        except ValueError as error:
            raise PredictError(f"{path}: {error}") from error

    def run(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the outputs for a raw batch (N, ...) as stored: logits (N, C), or quantities (N, T)."""
        [outputs] = self._session.run([self.card.output_name], {INPUT_NAME: raw})
        assert isinstance(outputs, np.ndarray)
        return outputs


def predict(network_file: Path, inputs: Path, resize: bool = False) -> Answers:
    """Return what an exported network says about an npz (key `x`), an image or a folder of images.

    Args:
        network_file: An exported `network.onnx`.
        inputs: The npz, with raw examples as the network was trained on; or the image, or the folder, searched through.
        resize: Bring images of another size to the network's; without it they are refused.

    Raises:
        PredictError: If the file cannot be used, or the examples have another size, layout or dtype.
    """
    network = OnnxNetwork(network_file)
    open_inputs: Callable[[Path, Card, bool], Examples] = open_images if is_images(inputs) else open_npz
    examples = open_inputs(inputs, network.card, resize)
    rows, highest = [], -np.inf
    for batch in examples.batches(rows_at_once(network.card)):
        check_raw(batch, network.card, inputs)
        highest = max(highest, float(batch.max()))
        rows.append(network.run(np.ascontiguousarray(batch)))
    return _answers(network.card, examples.names, np.concatenate(rows), tuple(_oddities(network.card, inputs, highest)))


def _answers(
    card: Card, names: tuple[str, ...], outputs: npt.NDArray[np.float32], warnings: tuple[str, ...]
) -> Answers:
    if card.targets is None:
        return Predictions(names, card.class_names, _softmax(outputs), warnings)
    return Quantities(names, card.targets.names, outputs, warnings)


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: npt.NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
    return shares


def _oddities(card: Card, inputs: Path, highest: float) -> Iterator[str]:
    """Yield what is probably a mistake: whole-number pixels on quite another scale than the training's."""
    trained = card.value_range[1]
    if card.dtype == "uint8" and highest > 2 * max(trained, 1):
        yield (
            f"{inputs} has values up to {highest:g}, but the network was trained on values up to {trained:g}: "
            "predictions mean little unless both have the same scale."
        )
