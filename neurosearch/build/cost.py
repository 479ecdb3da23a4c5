"""What a training of a network that stays as it is will have spent, in multiply-adds, before it begins.

Counted as the trainer counts. Nothing is computed: networks are built and run without numbers.
"""

import torch
from torch import nn

from neurosearch import names
from neurosearch.build.control import network_sizes
from neurosearch.build.trial import build_model
from neurosearch.config.remedies import RetrainedFields
from neurosearch.config.trial import TrialConfig
from neurosearch.data.manifest import Manifest
from neurosearch.neurons import find_units
from neurosearch.training.counts import PASSES_PER_STEP
from neurosearch.training.decorrelation import Decorrelation
from neurosearch.training.second_stage import find_head

_NUM_EXAMPLES = 3  # that correlations are taken over; any number would do


def training_cost(config: TrialConfig, manifest: Manifest) -> float:
    """Returns the multiply-adds of all epochs of the config's network at its base widths."""
    sizes = network_sizes(config, manifest.input_shape, manifest.num_outputs)
    of_one = PASSES_PER_STEP * sizes[names.MULTIPLY_ADDS] + _decorrelation_of_one(config, manifest)
    return of_one * sum(manifest.train_counts) * config.training.epochs


def second_stage_cost(config: TrialConfig, manifest: Manifest) -> float:
    """Returns the multiply-adds of what comes after the last epoch, however many there are."""
    classifier = config.training.classifier
    if not isinstance(classifier, RetrainedFields):
        return 0.0
    model, examples = _without_numbers(config, manifest)
    _, head = find_head(model, examples[:1])
    sizes = network_sizes(config, manifest.input_shape, manifest.num_outputs)
    of_one = sizes[names.MULTIPLY_ADDS] + PASSES_PER_STEP * classifier.epochs * head.weight.numel()
    return of_one * sum(manifest.train_counts)


def _decorrelation_of_one(config: TrialConfig, manifest: Manifest) -> float:
    """Returns the multiply-adds of the correlations of one example in a step."""
    if not config.training.decorrelation:
        return 0.0
    model, examples = _without_numbers(config, manifest)
    units = find_units(model, (examples,))
    decorrelation = Decorrelation(config.training.decorrelation, model, units)
    with torch.no_grad():
        decorrelation.watching(model, units)(examples)
    return decorrelation.take_multiply_adds() / len(examples)


def _without_numbers(config: TrialConfig, manifest: Manifest) -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        examples = torch.zeros(_NUM_EXAMPLES, *manifest.input_shape)
        return build_model(config, manifest.input_shape, manifest.num_outputs), examples
