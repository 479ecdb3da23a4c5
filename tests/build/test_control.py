from collections.abc import Callable
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.build.control import control_config, network_sizes, require_room
from neurosearch.build.trial import build_model
from neurosearch.config.growth import StaticFields
from neurosearch.config.study import SizeLimit
from neurosearch.config.trial import TrialConfig

Make = Callable[..., TrialConfig]
IMAGE = (1, 8, 8)


def mlp_parameters(widths: tuple[int, ...]) -> int:
    """Counts weights and biases of an MLP from 64 features to 10 classes."""
    sizes = (64, *widths, 10)
    return sum((before + 1) * after for before, after in pairwise(sizes))


def test_sizes_are_counted_without_the_numbers(trial: Make) -> None:
    sizes = network_sizes(trial(), IMAGE, 10)
    assert sizes["parameters"] == mlp_parameters((6, 4))
    assert sizes["parameters"] == sum(each.numel() for each in build_model(trial(), IMAGE, 10).parameters())
    assert sizes["neurons"] == 10
    assert sizes["multiply_adds"] == 64 * 6 + 6 * 4 + 4 * 10
    huge = network_sizes(trial(model={"kind": "mlp", "widths": [200_000, 200_000]}), IMAGE, 10)
    assert huge["parameters"] > 4e10, "160 GB of weights that nobody made"


def test_without_a_limit_the_control_is_the_winners_static_network(trial: Make) -> None:
    winner = trial(growth={"kind": "nimble"}, seed=3)
    control = control_config(winner, None, IMAGE, 10)
    assert control == trial(growth={"kind": "static"}, seed=3)


@settings(max_examples=15)
@given(limit=st.integers(90, 40_000), first=st.integers(8, 40), second=st.integers(8, 40))
def test_the_control_is_the_largest_of_its_family_within_the_limit(
    trial: Make, limit: int, first: int, second: int
) -> None:
    winner = trial(model={"kind": "mlp", "widths": [first, second]}, growth={"kind": "nimble"})
    control = control_config(winner, SizeLimit(parameters=limit), IMAGE, 10)
    assert isinstance(control.growth, StaticFields)
    assert (control.data, control.training, control.seed) == (winner.data, winner.training, winner.seed)
    widths = getattr(control.model, "widths")  # noqa: B009  # a field of one kind of model
    assert mlp_parameters(widths) <= limit
    next_factor = 1.001 * min(width / base for width, base in zip(widths, (first, second), strict=True))
    larger = tuple(ceil(base * next_factor) for base in (first, second))
    assert mlp_parameters(larger) > limit


@pytest.mark.parametrize("limit", [{"parameters": 2000}, {"neurons": 30}, {"multiply_adds": 3000}])
@pytest.mark.parametrize("model", [{"kind": "mlp", "widths": [6, 4]}, {"kind": "cnn", "widths": [4, 8]}])
def test_every_kind_of_limit_holds_for_every_family(
    trial: Make, limit: dict[str, int], model: dict[str, object]
) -> None:
    bound = SizeLimit.model_validate(limit)
    if model["kind"] == "cnn" and bound.metric == "multiply_adds":
        bound = SizeLimit(multiply_adds=40_000)
    control = control_config(trial(model=model), bound, IMAGE, 10)
    assert network_sizes(control, IMAGE, 10)[bound.metric] <= bound.maximum
    assert network_sizes(control, IMAGE, 10)[bound.metric] > 0.7 * bound.maximum


def test_a_limit_below_the_smallest_network_is_refused_with_the_remedy(trial: Make) -> None:
    with pytest.raises(ValueError, match=r"size_limit\.parameters is 86, but the smallest .* has 87\. Raise the limit"):
        require_room(trial(), SizeLimit(parameters=86), IMAGE, 10)
    require_room(trial(), SizeLimit(parameters=87), IMAGE, 10)
    require_room(trial(), None, IMAGE, 10)
    with pytest.raises(ValueError, match="size_limit"):
        control_config(trial(), SizeLimit(parameters=86), IMAGE, 10)


def test_a_limit_that_bounds_nothing_stops_at_32_times_the_width(trial: Make) -> None:
    winner = trial(model={"kind": "mlp", "widths": [6, 4]})
    control = control_config(winner, SizeLimit(parameters=10**12), IMAGE, 10)
    assert getattr(control.model, "widths") == (192, 128)  # noqa: B009  # a field of one kind of model
