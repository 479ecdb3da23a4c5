"""From a finished trial to exported files: the final network is loaded, written, and verified."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from neurosearch.build.final import load_final, load_structure
from neurosearch.build.head import PLAIN, Head, head_of, with_head
from neurosearch.build.pretrained import without_weights
from neurosearch.build.trial import build_network
from neurosearch.config.base import Fields
from neurosearch.config.kinds import kinds
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.export.write import Exported, export_network


def deliver(config: TrialConfig, data: PreparedData, trial_folder: Path, folder: Path, log: Path) -> Exported:
    """Exports the final network of a finished trial.

    Args:
        config: The trial's.
        data: What it was trained by.
        trial_folder: Holds the final network.
        folder: Where the files will be; an earlier export there is replaced whole.
        log: Takes what third parties print and warn.

    Raises:
        ValueError: If the trial has no final network.
        ExportError: If a file cannot be written, or its outputs differ from the network's.
        OSError: If the disk does not take the files.
    """
    network = load_final(config, data.manifest, trial_folder)
    structure = load_structure(trial_folder)
    return export_network(network, model_for_card(config), structure, data, model_from_card, folder, log)


def model_for_card(config: TrialConfig) -> dict[str, Any]:
    """Returns what a card says of the network of a config: the model section, and the last layer if that is changed."""
    model = without_weights(config).model.model_dump(mode="json")  # its weights lie in the export
    head = head_of(config.training)
    return model if head == PLAIN else {**model, _head_key(type(config.model)): head.to_dict()}


def model_from_card(model: Mapping[str, Any], input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Builds the base network of an exported card's model section and of what stands in it of the last layer.

    Raises:
        ValueError: If the kind is not installed, or its fields have changed.
    """
    known = kinds("models")
    kind = str(model.get("kind"))
    if kind not in known:
        raise ValueError(
            f"the network is of model kind {kind!r}, which is not installed; installed are {', '.join(known)}. "
            "Install the package that offers it."
        )
    fields = known[kind].fields
    key = _head_key(fields)
    section = {name: value for name, value in model.items() if name != key}
    network = build_network(fields.model_validate(section), input_shape, num_outputs)
    head = Head.from_dict(model[key]) if key in model else PLAIN
    return with_head(network, head, input_shape, num_outputs)


def _head_key(fields: type[Fields]) -> str:
    """Returns under what key, beside the fields of a kind, a changed last layer stands; no field's name has a dot."""
    return "training.head" if "head" in fields.model_fields else "head"
