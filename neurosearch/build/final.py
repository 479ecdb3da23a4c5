"""The final network of a finished trial, as a file: its structure and its weights, nothing else."""

import os
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurosearch import names
from neurosearch.build.confusion import Part, confusion_files, keep_confusion, kept_confusion
from neurosearch.build.kept_scores import keep_test_scores, kept_test_scores
from neurosearch.build.task import build_tally
from neurosearch.build.trial import build_model
from neurosearch.config.trial import TrialConfig
from neurosearch.data.batches import large_batch
from neurosearch.data.manifest import Manifest
from neurosearch.data.prepared import PreparedData
from neurosearch.neurons import Units, restore_structure, structure
from neurosearch.training.checkpoint import decode, encode
from neurosearch.training.metrics import ClassificationTally

FORMAT_VERSION = 1
FILE_NAME = "final.pt"


def save_final(folder: Path, model: nn.Module, units: Units) -> Path:
    """Writes the network under a temporary name and renames it.

    Raises:
        OSError: If the folder cannot be written.
    """
    payload = {"format_version": FORMAT_VERSION, "structure": structure(model, units), "weights": model.state_dict()}
    path = folder / FILE_NAME
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(encode(payload))
    temporary.replace(path)
    return path


def load_final(config: TrialConfig, manifest: Manifest, folder: Path) -> nn.Module:
    """Returns the network that `save_final` wrote, in eval mode: the base network, resized, then loaded strictly.

    Raises:
        ValueError: If the file is missing, damaged, or of another format.
    """
    payload = _read(folder / FILE_NAME)
    model = build_model(config, manifest.input_shape, manifest.num_outputs)
    restore_structure(model, payload["structure"])
    model.load_state_dict(payload["weights"])
    return model.eval()


def load_structure(folder: Path) -> dict[str, Any]:
    """Returns the structure of the network that `save_final` wrote. Raises as `load_final` does."""
    stored: dict[str, Any] = _read(folder / FILE_NAME)["structure"]
    return stored


def final_test_scores(config: TrialConfig, data: PreparedData, folder: Path) -> dict[str, float]:
    """Returns a finished trial's scores on the test part, under `test/` names.

    The test part is read once for a network; the scores then stand in a file beside it, and so does its confusion
    matrix.

    Raises:
        ValueError: If the trial has no final network.
        OSError: If the folder cannot be written.
    """
    kept = kept_test_scores(folder)
    if kept is None:
        kept = score_test_part(load_final(config, data.manifest, folder), data, folder)
        keep_test_scores(folder, kept)
    return kept


def final_confusion(config: TrialConfig, data: PreparedData, folder: Path) -> tuple[Path, ...]:
    """Returns the files of a network's confusion matrices: on the validation part, and on the test part if it was read.

    Raises:
        ValueError: If the trial has no final network.
        OSError: If the folder cannot be written.
    """
    if data.manifest.targets is None and "validation" not in kept_confusion(folder):
        _scores(load_final(config, data.manifest, folder), data, "validation", folder)
    return confusion_files(folder)


def score_test_part(model: nn.Module, data: PreparedData, folder: Path | None = None) -> dict[str, float]:
    """Returns the scores of a network in eval mode on the test part, under `test/` names.

    Args:
        model: The network.
        data: What it was trained by.
        folder: Takes the confusion matrix; None for nowhere.
    """
    return {names.TEST_PREFIX + name: value for name, value in _scores(model, data, "test", folder).items()}


def _scores(model: nn.Module, data: PreparedData, part: Part, folder: Path | None) -> dict[str, float]:
    arrays = data.test() if part == "test" else data.validation()
    tally = build_tally(data.manifest)
    x, y = torch.from_numpy(arrays.x), torch.from_numpy(arrays.y)
    normalise, size = data.normalise() or nn.Identity(), large_batch(1, 4 * prod(data.manifest.input_shape))
    with torch.inference_mode():
        for inputs, targets in zip(torch.split(x, size), torch.split(y, size), strict=True):
            tally.add(model(normalise(inputs)), targets)
    sums = tally.sums().tolist()
    if folder is not None and isinstance(tally, ClassificationTally):
        keep_confusion(folder, part, tally.matrix(sums), data.manifest.class_names)
    return tally.metrics(sums)


def _read(path: Path) -> dict[str, Any]:
    try:
        payload = decode(path.read_bytes())
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {error.strerror}. The trial has not finished, or its network was removed after "
            "its end: only those of the best search.kept_trials trials stay. Export another trial, or resume the "
            "study; a removed one is made again by a study of its config alone, which stands in its result.json."
        ) from error
    if payload.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {payload.get('format_version')}, but this neurosearch reads {FORMAT_VERSION}. "
            "Export it with the version that wrote it."
        )
    return payload
