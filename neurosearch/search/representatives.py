"""A few configurations that stand for a whole space: what its trials take is told from them."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from neurosearch.config.corners import corners
from neurosearch.config.kinds import kinds
from neurosearch.config.load import StudyConfig
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.randomness import derive_seed
from neurosearch.search.space import chooser, distributions, position_at

_DRAWS = 20  # of one configuration, until no rule is broken
_MODELS = 256  # different networks among the ends of a space that are built to find the largest
_ANY_WIDTH = 1000


def spread_configs(config: StudyConfig, count: int) -> list[TrialConfig]:
    """Returns different configurations whose every hyperparameter is spread evenly over its range (a Latin hypercube).

    They depend on the study's space and seed alone. Where a point breaks a rule, another one is drawn at random.

    Args:
        config: The study.
        count: How many, at most; a small space has fewer.
    """
    generator = np.random.default_rng(derive_seed(config.study.seed, "spread"))
    names = list(distributions(config.template))
    shares = {name: (generator.permutation(count) + 0.5) / count for name in names}
    found: dict[str, TrialConfig] = {}
    for index in range(count):
        point = {name: float(each[index]) for name, each in shares.items()}
        for _ in range(_DRAWS):
            try:
                trial = config.trial(chooser(lambda name, kind, at=point: _at(at, name, kind), _unheard))  # type: ignore[misc]
            except ValueError:  # a rule is broken in between the ends, which alone were checked
                point = {name: float(generator.random()) for name in names}
                continue
            found.setdefault(json.dumps(trial.model_dump(mode="json"), sort_keys=True), trial)
            break
    return list(found.values())


def end_configs(config: StudyConfig) -> list[TrialConfig]:
    """Returns the configurations at the ends of the space: its corners, or some of them where they are many."""
    return [
        TrialConfig.model_validate({**each.sections, "seed": config.study.seed}) for each in corners(config.template)
    ]


def extremes_by_size(configs: Iterable[TrialConfig], size: Callable[[TrialConfig], float]) -> list[TrialConfig]:
    """Returns the configuration with the least to hold and to compute, and the one with the most.

    Args:
        configs: Some, such as the ends of a space.
        size: Returns how large the network of a model section is, at its base widths; asked once for each section.
    """
    sizes: dict[str, float] = {}
    best: dict[bool, tuple[tuple[float, ...], TrialConfig]] = {}
    for each in configs:
        model = each.model.model_dump_json()
        if model not in sizes:
            if len(sizes) >= _MODELS:
                continue
            sizes[model] = size(each)
        grown = sizes[model] * growth_factor(each)
        key = (grown, each.training.batch_size, each.training.epochs)
        for most, sign in ((False, -1), (True, 1)):
            signed = tuple(sign * value for value in key)
            if most not in best or signed > best[most][0]:
                best[most] = (signed, each)
    return [each for _, each in best.values()]


def growth_factor(config: TrialConfig) -> float:
    """Returns how many times as wide as at its base a network becomes at the peak of its growth schedule."""
    peak = kinds("growth")[kind_of(config.growth)].peak
    return 1.0 if peak is None else peak(config.growth, _ANY_WIDTH) / _ANY_WIDTH


def _at(point: Mapping[str, float], name: str, distribution: BaseDistribution) -> Any:
    return position_at(distribution, point[name])


def _unheard(_name: str, _value: Any) -> None:
    """Takes no note of what was chosen."""
