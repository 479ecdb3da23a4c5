"""The control of a study: the largest static network of the winner's family that may be deployed."""

from collections.abc import Callable, Mapping

import torch

from neurosearch.build.trial import build_model
from neurosearch.config.base import Fields
from neurosearch.config.growth import StaticFields
from neurosearch.config.kinds import kinds
from neurosearch.config.study import SizeLimit
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.neurons import find_units
from neurosearch.training.counts import SizeCounter

_FINEST_STEP = 1e-4  # relative; no network here has a layer of ten thousand neurons


def control_config(
    winner: TrialConfig, limit: SizeLimit | None, input_shape: tuple[int, ...], num_outputs: int
) -> TrialConfig:
    """Returns the winner's config with a static network: as large as the limit allows, else as wide as the winner's.

    All widths are scaled by one factor, so the proportions of the winner's base network are kept. Data, training and
    seed are the winner's: same initialisation, data order and budget.

    Raises:
        ValueError: If even the narrowest network of the family is above the limit.
    """
    config = winner.model_copy(update={"growth": StaticFields()})  # an instance of ours: there is nothing to validate
    scale = kinds("models")[kind_of(winner.model)].scale
    if limit is None or scale is None:
        return config

    def at(factor: float) -> TrialConfig:
        model: Fields = scale(winner.model, factor)
        return config.model_copy(update={"model": model})

    def fits(factor: float) -> bool:
        return network_sizes(at(factor), input_shape, num_outputs)[limit.metric] <= limit.maximum

    return at(_largest(fits, limit))


def network_sizes(config: TrialConfig, input_shape: tuple[int, ...], num_outputs: int) -> Mapping[str, float]:
    """Returns neurons, parameters and multiply-adds of the config's network at its base widths, by metric name."""
    inputs = (torch.zeros(2, *input_shape),)
    model = build_model(config, input_shape, num_outputs)
    return SizeCounter(model, inputs).count(find_units(model, inputs))


def _largest(fits: Callable[[float], bool], limit: SizeLimit) -> float:
    """Returns the largest factor that fits, by bracketing and bisection; size grows with the factor."""
    low = 1.0
    while not fits(low):
        low /= 2
        if low < _FINEST_STEP:
            raise ValueError(
                f"size_limit.{limit.metric} is {limit.maximum}, but even one neuron in every hidden layer is more. "
                "Raise the limit, or choose a model with fewer layers."
            )
    high = 2 * low
    while fits(high):
        low, high = high, 2 * high
    while high - low > _FINEST_STEP * low:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
