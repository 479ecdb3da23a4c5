from typing import Any

from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.trial import TrialConfig
from neurosearch.search.representatives import end_configs, extremes_by_size, growth_factor, spread_configs


def study(**sections: Any) -> StudyConfig:
    values = {
        "name": "spread",
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[8], [64], [16]]}},
        "training": {"epochs": 10, "learning_rate": {"search": "log_uniform", "low": 1e-4, "high": 1e-1}},
        "growth": {
            "search": "one_of",
            "options": [{"kind": "static"}, {"kind": "periodic", "grow_share": 0.5}, {"kind": "nimble"}],
        },
    }
    return study_from_mapping({**values, **sections}, "spread")


def first_width(config: TrialConfig) -> float:
    return float(config.model_dump()["model"]["widths"][0])


def test_every_hyperparameter_is_spread_over_its_range() -> None:
    found = spread_configs(study(), 9)
    assert len(found) == 9
    kinds = [config.growth.model_dump()["kind"] for config in found]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"static": 3, "periodic": 3, "nimble": 3}
    rates = sorted(config.training.learning_rate for config in found)
    assert all(10 ** (-4 + index / 3) <= rate <= 10 ** (-4 + (index + 1) / 3) for index, rate in enumerate(rates))


def test_the_same_study_gives_the_same_configurations() -> None:
    assert spread_configs(study(), 5) == spread_configs(study(), 5)
    assert spread_configs(study(), 5) != spread_configs(study(seed=1), 5)


def test_a_small_space_gives_each_configuration_once() -> None:
    fixed = study(training={"epochs": 10}, growth={"kind": "static"})
    assert sorted(first_width(config) for config in spread_configs(fixed, 9)) == [8, 16, 64]


def test_a_space_without_hyperparameters_gives_its_one_configuration() -> None:
    fixed = study(training={"epochs": 2}, growth={"kind": "static"}, model={"kind": "mlp", "widths": [8]})
    assert len(spread_configs(fixed, 9)) == 1


def test_the_extremes_are_the_smallest_network_and_the_one_that_grows_largest() -> None:
    smallest, largest = extremes_by_size(end_configs(study()), first_width)
    assert first_width(smallest) == 8
    assert growth_factor(smallest) == 1.0
    assert first_width(largest) == 64
    assert growth_factor(largest) == 1.5
