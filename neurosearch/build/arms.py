"""The arms of a study of growth: what else could have given what a growing network gave.

Each is trained on the same seeds as the growing network, with its hyperparameters, and ends at its size.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from neurosearch import names
from neurosearch.build.control import control_config
from neurosearch.build.cost import second_stage_cost, training_cost
from neurosearch.config.search import Arm
from neurosearch.config.study import SizeLimit
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.data.manifest import Manifest

_SHARED_WITH_WIDE = ("grow_share", "importance", "protected_share", "merge_threshold")


def arm_config(arm: Arm, grown: TrialConfig, final: Mapping[str, float], manifest: Manifest) -> TrialConfig:
    """Returns the config of an arm beside a network whose neurons changed.

    Fixed networks, and what begins as one, are the largest static network of the family with no more parameters than
    the grown one has in the end.

    Args:
        arm: Which.
        grown: The config of the network that grew.
        final: What it came to: parameters, and the multiply-adds of its whole training, by metric name.
        manifest: Of its data.

    Raises:
        ValueError: If there is no such arm beside this network; the text says why.
    """
    limit = SizeLimit(parameters=int(final[names.PARAMETERS]))
    fixed = control_config(grown, limit, manifest.input_shape, manifest.num_outputs)
    growth: dict[str, Any] = grown.growth.model_dump(mode="json")
    match arm:
        case "fixed":
            return fixed
        case "equal_compute":
            return _trained_for(fixed, final[names.TRAINING_MULTIPLY_ADDS], manifest)
        case "wide_then_prune":
            _refuse_itself(arm, growth)
            shared = {name: value for name, value in growth.items() if name in _SHARED_WITH_WIDE}
            return _growing(fixed, {"kind": arm, **shared})
        case "recycle":
            _refuse_itself(arm, growth)
            return _growing(fixed, {"kind": arm})
        case "random_importance":
            if "importance" not in growth:
                raise ValueError(f"growth of kind {kind_of(grown.growth)} prunes by no importance")
            return _growing(grown, {**growth, "importance": "random"})
        case _:
            assert_never(arm)


def _refuse_itself(arm: Arm, growth: Mapping[str, Any]) -> None:
    if growth["kind"] == arm:
        raise ValueError(f"the network is itself one of kind {arm}")


def _growing(config: TrialConfig, growth: Mapping[str, Any]) -> TrialConfig:
    return TrialConfig.model_validate({**config.model_dump(mode="json"), "growth": growth})


def _trained_for(config: TrialConfig, multiply_adds: float, manifest: Manifest) -> TrialConfig:
    """Returns the config with as many epochs as cost so many multiply-adds, warm-up in proportion."""
    before = config.training
    for_epochs = multiply_adds - second_stage_cost(config, manifest)  # which comes once, after however many epochs
    epochs = max(1, round(before.epochs * for_epochs / training_cost(config, manifest)))
    warmup = min(round(before.warmup_epochs * epochs / before.epochs), epochs - 1)
    training = before.model_copy(update={"epochs": epochs, "warmup_epochs": warmup})
    return config.model_copy(update={"training": training})
