"""The control of a study: the largest static network of the winner's family that may be deployed."""

from collections.abc import Callable, Mapping

import torch

from neurosearch.build.pretrained import without_weights
from neurosearch.build.trial import build_model
from neurosearch.config.base import Fields
from neurosearch.config.growth import StaticFields
from neurosearch.config.kinds import kinds
from neurosearch.config.study import SizeLimit
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.neurons import find_units
from neurosearch.training.counts import SizeCounter

_FINEST_STEP = 1e-4  # relative; no network here has a layer of ten thousand neurons
# A limit far above what is searched bounds nothing; a control beside which the winner vanishes tells nothing either.
_LARGEST_FACTOR = 32.0


def control_config(
    winner: TrialConfig, limit: SizeLimit | None, input_shape: tuple[int, ...], num_outputs: int
) -> TrialConfig:
    """Returns the winner's config with a static network: as large as the limit allows, else as wide as the winner's.

    All widths are scaled by one factor, at most 32, so the proportions of the winner's base network are kept. Data,
    training and seed are the winner's: same initialisation, data order and budget. A network that starts from
    pretrained weights keeps its widths: they fit no others.

    Raises:
        ValueError: If even the narrowest network of the family is above the limit.
    """
    config = winner.model_copy(update={"growth": StaticFields()})  # an instance of ours: there is nothing to validate
    if limit is None or not _can_scale(winner):
        return config
    require_room(config, limit, input_shape, num_outputs)

    def fits(factor: float) -> bool:
        return network_sizes(_scaled(config, factor), input_shape, num_outputs)[limit.metric] <= limit.maximum

    return _scaled(config, _largest(fits))


def require_room(config: TrialConfig, limit: SizeLimit | None, input_shape: tuple[int, ...], num_outputs: int) -> None:
    """Checks that at least the narrowest network of the config's family is within the limit.

    Raises:
        ValueError: If it is not.
    """
    if limit is None or not _can_scale(config):
        return
    smallest = network_sizes(_scaled(config, _FINEST_STEP), input_shape, num_outputs)[limit.metric]
    if smallest > limit.maximum:
        raise ValueError(
            f"size_limit.{limit.metric} is {limit.maximum}, but the smallest network of the model, with one neuron in "
            f"every hidden layer, has {smallest:,.0f}. Raise the limit, or choose a model with fewer layers."
        )


def network_sizes(config: TrialConfig, input_shape: tuple[int, ...], num_outputs: int) -> Mapping[str, float]:
    """Returns neurons, parameters and multiply-adds of the config's network at its base widths, by metric name."""
    with torch.device("meta"):  # shapes alone: what a limit allows may be more than fits into memory
        inputs = (torch.zeros(2, *input_shape),)
        model = build_model(config, input_shape, num_outputs)
        return SizeCounter(model, inputs).count(find_units(model, inputs))


def _can_scale(config: TrialConfig) -> bool:
    """Returns whether the config's network may have other widths: pretrained weights fit none but its own."""
    return kinds("models")[kind_of(config.model)].scale is not None and without_weights(config) == config


def _scaled(config: TrialConfig, factor: float) -> TrialConfig:
    scale = kinds("models")[kind_of(config.model)].scale
    assert scale is not None
    model: Fields = scale(config.model, factor)
    return config.model_copy(update={"model": model})


def _largest(fits: Callable[[float], bool]) -> float:
    """Returns the largest factor that fits, by bracketing and bisection; size grows with the factor."""
    low = 1.0
    while low > _FINEST_STEP and not fits(low):
        low /= 2
    high = 2 * low
    while fits(high):
        if high >= _LARGEST_FACTOR:
            return high
        low, high = high, 2 * high
    while high - low > _FINEST_STEP * low:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
