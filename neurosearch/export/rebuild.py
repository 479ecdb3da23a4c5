"""From safetensors and card back to the network: no pickle, and no code but the model's own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from neurosearch.data.postprocess import build_postprocess
from neurosearch.data.preprocess import Preprocess
from neurosearch.export.card import Card, read_card
from neurosearch.export.errors import ExportError
from neurosearch.export.freeze import Deployed
from neurosearch.neurons import restore_structure

#: Builds a base network from the card's model section, the shape of one example and the number of outputs.
ModelBuilder = Callable[[Mapping[str, Any], tuple[int, ...], int], nn.Module]

CARD_NAME = "network.json"
WEIGHTS_NAME = "network.safetensors"


def load_network(folder: Path, build_model: ModelBuilder) -> tuple[Deployed, Card]:
    """Return the deployed network of an export folder and its card.

    The base network is built, brought to the final structure, and loaded strictly.

    Raises:
        ExportError: If a file is missing or damaged, or weights and structure do not belong together.
    """
    try:
        card = read_card((folder / CARD_NAME).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS_NAME)
        shape = (card.spec.num_channels,)
        network = build_model(card.model, card.input_shape, card.num_outputs)
        if card.structure is not None:
            restore_structure(network, dict(card.structure))
        preprocess = Preprocess(card.spec, torch.zeros(shape), torch.ones(shape))
        deployed = Deployed(preprocess, network, build_postprocess(card.targets))
        deployed.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise ExportError(f"{folder} does not hold a network that can be rebuilt: {error}") from error
    return deployed, card
