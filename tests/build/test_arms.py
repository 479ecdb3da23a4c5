from collections.abc import Callable
from typing import Any

import pytest

from neurosearch.build.arms import arm_config
from neurosearch.build.control import network_sizes
from neurosearch.build.cost import second_stage_cost, training_cost
from neurosearch.config.growth import RecycleFields, StaticFields, WideThenPruneFields
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData

Make = Callable[..., TrialConfig]
PERIODIC = {"kind": "periodic", "period_epochs": 4, "grown_epochs": 2, "grow_share": 0.75}


def grown(trial: Make, **growth: Any) -> TrialConfig:
    training = {"epochs": 12, "warmup_epochs": 3, "learning_rate": 0.02}
    return trial(growth=growth or PERIODIC, training=training, seed=3)


def final(config: TrialConfig, digits: PreparedData, share: float = 1.0, cost: float = 1.5) -> dict[str, float]:
    manifest = digits.manifest
    sizes = network_sizes(config, manifest.input_shape, manifest.num_outputs)
    multiply_adds = cost * training_cost(config, manifest)
    return {"parameters": share * sizes["parameters"] + 0.4, "training_multiply_adds": multiply_adds}


def test_the_fixed_arm_has_the_final_size_and_the_hyperparameters(trial: Make, digits: PreparedData) -> None:
    config = grown(trial)
    fixed = arm_config("fixed", config, final(config, digits), digits.manifest)
    assert fixed == config.model_copy(update={"growth": StaticFields()})


def test_beside_a_network_that_shrank_it_is_as_small(trial: Make, digits: PreparedData) -> None:
    config = grown(trial, kind="nimble")
    wanted = final(config, digits, share=0.6)
    manifest = digits.manifest
    fixed = arm_config("fixed", config, wanted, manifest)
    parameters = network_sizes(fixed, manifest.input_shape, manifest.num_outputs)["parameters"]
    assert 0.4 * wanted["parameters"] < parameters <= wanted["parameters"]


@pytest.mark.parametrize(("cost", "epochs", "warmup"), [(1.5, 18, 4), (0.5, 6, 2), (0.01, 1, 0)])
def test_equal_compute_trains_for_as_many_multiply_adds(
    trial: Make, digits: PreparedData, cost: float, epochs: int, warmup: int
) -> None:
    config = grown(trial)
    prolonged = arm_config("equal_compute", config, final(config, digits, cost=cost), digits.manifest)
    assert (prolonged.training.epochs, prolonged.training.warmup_epochs) == (epochs, warmup)
    assert isinstance(prolonged.growth, StaticFields)
    assert prolonged.training.learning_rate == 0.02


def test_what_comes_beside_and_after_the_epochs_does_not_prolong_them(trial: Make, digits: PreparedData) -> None:
    remedies = {"decorrelation": 0.1, "classifier": {"kind": "retrained", "epochs": 30}}
    config = trial(growth={"kind": "static"}, training={"epochs": 12, **remedies})
    spent = training_cost(config, digits.manifest) + second_stage_cost(config, digits.manifest)
    wanted = {**final(config, digits), "training_multiply_adds": spent}
    assert arm_config("equal_compute", config, wanted, digits.manifest) == config


def test_random_importance_changes_the_importance_alone(trial: Make, digits: PreparedData) -> None:
    config = grown(trial)
    arm = arm_config("random_importance", config, final(config, digits), digits.manifest)
    assert getattr(arm.growth, "importance") == "random"  # noqa: B009  # a field of some kinds of growth
    assert arm.growth.model_copy(update={"importance": "class_balanced_taylor"}) == config.growth
    assert arm.model_copy(update={"growth": config.growth}) == config


def test_recycling_keeps_the_final_size(trial: Make, digits: PreparedData) -> None:
    config = grown(trial)
    arm = arm_config("recycle", config, final(config, digits), digits.manifest)
    assert arm == config.model_copy(update={"growth": RecycleFields()})


def test_the_grown_width_is_that_of_the_network_that_grew(trial: Make, digits: PreparedData) -> None:
    config = grown(trial, **PERIODIC, importance="l2", protected_share=0.25, merge_threshold=0.9)
    arm = arm_config("wide_then_prune", config, final(config, digits), digits.manifest)
    assert arm.growth == WideThenPruneFields(
        grow_share=0.75, importance="l2", protected_share=0.25, merge_threshold=0.9
    )
    nimble = grown(trial, kind="nimble")
    arm = arm_config("wide_then_prune", nimble, final(nimble, digits), digits.manifest)
    assert arm.growth == WideThenPruneFields()


@pytest.mark.parametrize("arm", ["recycle", "wide_then_prune"])
def test_a_network_is_no_arm_of_itself(trial: Make, digits: PreparedData, arm: Any) -> None:
    config = grown(trial, kind=arm)
    with pytest.raises(ValueError, match=f"the network is itself one of kind {arm}"):
        arm_config(arm, config, final(config, digits), digits.manifest)


def test_an_arm_that_a_rule_forbids_says_why(trial: Make, digits: PreparedData) -> None:
    config = grown(trial).model_copy(update={"training": grown(trial).training.model_copy(update={"epochs": 1})})
    with pytest.raises(ValueError, match="recycle"):
        arm_config("recycle", config, final(config, digits), digits.manifest)


def test_beside_a_pretrained_network_there_is_no_wide_arm(trial: Make, digits: PreparedData) -> None:
    config = grown(trial)
    config = config.model_copy(update={"model": config.model.model_copy(update={"weights": "a.pt"})})
    with pytest.raises(ValueError, match="growth.kind and model.weights"):
        arm_config("wide_then_prune", config, final(config, digits), digits.manifest)


def test_what_prunes_by_no_importance_has_no_such_arm(trial: Make, digits: PreparedData) -> None:
    config = grown(trial, kind="nimble")
    with pytest.raises(ValueError, match="growth of kind nimble prunes by no importance"):
        arm_config("random_importance", config, final(config, digits), digits.manifest)
