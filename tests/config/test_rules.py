import re
from typing import Any

import pytest

from neurosearch.config.base import ConfigError
from neurosearch.config.kinds import ConflictError
from neurosearch.config.load import study_from_mapping
from neurosearch.config.trial import TrialConfig


def trial(**fields: Any) -> TrialConfig:
    values: dict[str, Any] = {
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 10},
        "growth": {"kind": "static"},
    }
    return TrialConfig.model_validate({**values, **fields})


def events(*changes: tuple[int, float], **fields: Any) -> dict[str, Any]:
    """A growth section from pairs of epoch and added share; a negative one is removed."""
    listed = [{"epoch": epoch, "add_share" if c > 0 else "remove_share": abs(c)} for epoch, c in changes]
    return {"kind": "events", "events": listed, **fields}


STEPS = {"epochs": 10, "schedule": "step", "drops": [0.5, 0.75]}


MSE: dict[str, Any] = {"epochs": 10, "loss": "mse"}
PUBLISHED: dict[str, Any] = {"kind": "nimble", "control": "as_published", "target_share": 1.0}


@pytest.mark.parametrize(
    "fields",
    [
        {"training": {"epochs": 3, "warmup_epochs": 2}},
        {"training": {"epochs": 3, "batch_size": 2}, "model": {"kind": "mlp", "widths": [8], "norm": "batch"}},
        {"training": {"epochs": 3, "batch_size": 1}},
        {"training": {"epochs": 3, "schedule": "step", "drops": [0.3, 0.6]}},
        {"training": {"epochs": 10}, "growth": {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1}},
        {"training": {"epochs": 10}, "growth": {"kind": "periodic", "period_epochs": 99, "grown_epochs": 7}},
        {"growth": {"kind": "nimble", "target_share": 2.0, "start_share": 0.1, "maximum_share": 2.0}},
        {"growth": events((0, 0.1), (1, 0.2), (9, -0.3))},
        {"growth": events((0, -0.99), (1, 0.99))},
        {"growth": events((0, -0.75), (1, 0.75), protected_share=0.25)},
        {"growth": events((0, 4.0), (1, 4.0), (2, -8.9), (3, 0.9))},
        {"training": STEPS, "growth": events((0, 0.5), (8, -0.5))},
        {"training": {**STEPS, "drops": []}, "growth": events((0, 0.5), (9, -0.5))},
        {"data": {"kind": "function"}, "training": MSE},
        {"data": {"kind": "function", "function": "sine_classes"}},
        {"data": {"kind": "spiral", "num_points": 15}},
        {"growth": {"kind": "nimble", "sharing": [["layers.1", "layers.3"]], "start_share": 0.0}},
        {"growth": PUBLISHED},
    ],
)
def test_what_keeps_the_rules_at_their_very_edge_is_a_trial(fields: dict[str, Any]) -> None:
    assert trial(**fields).seed == 0


@pytest.mark.parametrize(
    ("fields", "clashing"),
    [
        ({"training": {"epochs": 3, "warmup_epochs": 3}}, ["training.warmup_epochs", "training.epochs"]),
        ({"training": {"epochs": 3, "drops": [0.5, 0.5]}}, ["training.drops"]),
        (
            {"training": {"epochs": 3, "batch_size": 1}, "model": {"kind": "mlp", "widths": [8], "norm": "batch"}},
            ["training.batch_size", "model.norm"],
        ),
        (
            {"growth": {"kind": "periodic", "period_epochs": 3, "grown_epochs": 3}},
            ["growth.grown_epochs", "growth.period_epochs"],
        ),
        (
            {"growth": {"kind": "periodic", "period_epochs": 99, "grown_epochs": 8}},
            ["growth.grown_epochs", "training.epochs"],
        ),
        ({"growth": events((3, 0.5), (2, -0.5))}, ["growth.events[1].epoch", "growth.events[0].epoch"]),
        ({"growth": events((3, 0.5), (3, -0.5))}, ["growth.events[1].epoch", "growth.events[0].epoch"]),
        ({"growth": events((3, 0.5), (10, -0.5))}, ["growth.events[1].epoch", "training.epochs"]),
        ({"training": STEPS, "growth": events((3, 0.5), (9, -0.5))}, ["growth.events[1].epoch", "training.drops"]),
        ({"growth": events((3, 0.5), (4, -0.25))}, ["growth.events"]),
        ({"growth": events((3, 0.5), (4, -0.75))}, ["growth.events"]),
        ({"growth": events((0, 0.1), (3, -1.1), (4, 1.0))}, ["growth.events[1].remove_share"]),
        (
            {"growth": events((3, -0.5), (4, 0.5), protected_share=0.6)},
            ["growth.events[0].remove_share", "growth.protected_share"],
        ),
        ({"growth": {"kind": "nimble", "start_share": 1.5}}, ["growth.start_share", "growth.maximum_share"]),
        ({"growth": {"kind": "nimble", "target_share": 1.5}}, ["growth.target_share", "growth.maximum_share"]),
        ({"growth": {"kind": "nimble", "control": "as_published"}}, ["growth.target_share", "growth.control"]),
        (
            {"growth": {**PUBLISHED, "maximum_share": 2.0}},
            ["growth.maximum_share", "growth.control"],
        ),
        ({"growth": {**PUBLISHED, "size_unit": "neurons"}}, ["growth.size_unit", "growth.control"]),
        (
            {"data": {"kind": "function", "low": 0.2, "high": 0.1}, "training": MSE},
            ["data.low", "data.high"],
        ),
        ({"data": {"kind": "function", "low": 0.5}, "training": MSE}, ["data.low", "data.high"]),
        (
            {"data": {"kind": "function", "coefficients": [1.0, 0.0]}, "training": MSE},
            ["data.coefficients", "data.function"],
        ),
        (
            {"data": {"kind": "function", "function": "cubic", "coefficients": [1.0, 0.0]}, "training": MSE},
            ["data.coefficients", "data.function"],
        ),
        (
            {"data": {"kind": "function", "function": "quadratic", "coefficients": [0.0, 0.0, 3.0]}, "training": MSE},
            ["data.coefficients", "data.function"],
        ),
        ({"data": {"kind": "spiral", "num_points": 14}}, ["data.num_points", "data.num_classes"]),
        (
            {"growth": {"kind": "nimble", "sharing": [["layers.1"], ["layers.3", "layers.1"]]}},
            ["growth.sharing[1][1]", "growth.sharing[0][0]"],
        ),
    ],
)
def test_what_breaks_a_rule_names_the_fields(fields: dict[str, Any], clashing: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(clashing[-1])) as caught:
        trial(**fields)
    cause = caught.value.errors()[0]["ctx"]["error"]  # type: ignore[attr-defined]
    assert isinstance(cause, ConflictError)
    assert [list(conflict.fields) for conflict in cause.conflicts] == [clashing]


@pytest.mark.parametrize(
    ("field", "value"), [("gate_width", 0.0), ("size_coefficient", -1.0), ("start_share", -0.1), ("target_share", 0.0)]
)
def test_a_nimble_number_out_of_its_bounds_names_its_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"growth\.nimble\.{field}\n.*greater than"):
        trial(growth={"kind": "nimble", field: value})


def test_rules_between_two_trials_sections_hold_for_studies_too() -> None:
    values = {
        "name": "x",
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 3, "warmup_epochs": 5},
        "growth": {"kind": "static"},
    }
    with pytest.raises(ValueError, match="warmup_epochs is 5 but epochs is 3"):
        study_from_mapping(values, "values")


REGRESSION: dict[str, Any] = {
    "data": {"kind": "npz", "path": "a.npz", "task": "regression"},
    "training": {"epochs": 10, "loss": "mse"},
}
PERIODIC: dict[str, Any] = {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1}


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_regression_that_asks_for_no_classes_is_a_trial(loss: str) -> None:
    growth = {**PERIODIC, "importance": "taylor"}
    training = {"epochs": 10, "loss": loss}
    assert trial(**{**REGRESSION, "training": training, "growth": growth}).training.loss.kind == loss


@pytest.mark.parametrize(
    ("fields", "clashing", "remedy"),
    [
        ({"training": {"epochs": 10}}, ["training.loss", "data.task"], "Set loss to mse or mae or huber."),
        ({"growth": PERIODIC}, ["growth.importance", "data.task"], "Set importance: taylor."),
        (
            {"growth": {**PERIODIC, "importance": "l2", "protected_share": 0.1}},
            ["growth.protected_share", "data.task"],
            "Take protected_share out.",
        ),
        ({"growth": events((0, 0.5), (3, -0.5))}, ["growth.importance", "data.task"], "Set importance: taylor."),
        (
            {"data": {**REGRESSION["data"], "imbalance": {"ratio": 5}}},
            ["data.imbalance", "data.task"],
            "Take imbalance out.",
        ),
        (
            {"data": {"kind": "digits"}},
            ["training.loss", "data.task"],
            "Set loss to cross_entropy or class_balanced or focal or class_balanced_focal or ",
        ),
    ],
)
def test_what_needs_classes_is_refused_for_a_regression(
    fields: dict[str, Any], clashing: list[str], remedy: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)) as caught:
        trial(**{**REGRESSION, **fields})
    cause = caught.value.errors()[0]["ctx"]["error"]  # type: ignore[attr-defined]
    assert isinstance(cause, ConflictError)
    assert [list(conflict.fields) for conflict in cause.conflicts] == [clashing]


@pytest.mark.parametrize(("metric", "direction"), [("rmse", "minimize"), ("mae", "minimize"), ("r2", "maximize")])
def test_scores_of_regression_are_objectives(metric: str, direction: str) -> None:
    study = {**REGRESSION, "search": {"objectives": [{"metric": metric, "direction": direction}]}}
    assert study_from_mapping({**_STUDY, **study}, "a").study.search.metrics == {metric}


def test_a_metric_of_another_task_is_refused_with_both_fields() -> None:
    with pytest.raises(ValueError, match="rmse, mae, r2 or validation_loss. Name one of these") as caught:
        study_from_mapping({**_STUDY, **REGRESSION}, "a")
    assert "search.objectives and data.task: trials are judged by balanced_accuracy" in str(caught.value)
    objectives = {"objectives": [{"metric": "rmse", "direction": "minimize"}]}
    with pytest.raises(ValueError, match="judged by rmse, but the task is classification"):
        study_from_mapping({**_STUDY, "search": objectives}, "a")


def test_all_that_needs_classes_is_told_at_once() -> None:
    data = {**REGRESSION["data"], "imbalance": {"ratio": 3}}
    with pytest.raises(ConfigError) as caught:
        study_from_mapping({**_STUDY, "data": data, "growth": PERIODIC}, "a")
    assert {problem.field for problem in caught.value.problems} == {
        "search.objectives and data.task",
        "data.imbalance and data.task",
        "training.loss and data.task",
        "growth.importance and data.task",
    }


@pytest.mark.parametrize(
    ("training", "clashing", "remedy"),
    [
        (
            {"deferred_reweighting_share": 0.2, "loss": "class_balanced"},
            ["training.deferred_reweighting_share", "training.loss"],
            "loss class_balanced weights classes from the first epoch on. Set the share to 0",
        ),
        (
            {"deferred_reweighting_share": 0.2, "loss": {"kind": "class_balanced_focal", "gamma": 1.0}},
            ["training.deferred_reweighting_share", "training.loss"],
            "loss class_balanced_focal weights classes from the first epoch on",
        ),
        (
            {"posthoc_tau": 1.0, "loss": "balanced_softmax"},
            ["training.posthoc_tau", "training.loss"],
            "loss balanced_softmax adjusts logits by the class shares while training",
        ),
        (
            {"posthoc_tau": 1.0, "loss": {"kind": "logit_adjustment", "tau": 0.5}},
            ["training.posthoc_tau", "training.loss"],
            "Set posthoc_tau to 0, or loss to cross_entropy.",
        ),
        ({"posthoc_tau": 0.5, "loss": "vs"}, ["training.posthoc_tau", "training.loss"], "loss vs adjusts logits"),
        (
            {"loss": {"kind": "label_aware_smoothing", "head": 0.1, "tail": 0.2}},
            ["training.loss.tail", "training.loss.head"],
            "Lower tail or raise head.",
        ),
    ],
)
def test_remedies_that_exclude_each_other_are_refused_with_both_fields(
    training: dict[str, Any], clashing: list[str], remedy: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)) as caught:
        trial(training={"epochs": 10, **training})
    cause = caught.value.errors()[0]["ctx"]["error"]  # type: ignore[attr-defined]
    assert [list(conflict.fields) for conflict in cause.conflicts] == [clashing]


@pytest.mark.parametrize(("field", "value"), [("deferred_reweighting_share", 0.2), ("posthoc_tau", 1.0)], ids=str)
def test_a_remedy_for_classes_is_refused_for_a_regression(field: str, value: float) -> None:
    with pytest.raises(ValueError, match="the task is regression, which has none") as caught:
        trial(**{**REGRESSION, "training": {"epochs": 10, "loss": "mse", field: value}})
    cause = caught.value.errors()[0]["ctx"]["error"]  # type: ignore[attr-defined]
    assert [list(conflict.fields) for conflict in cause.conflicts] == [[f"training.{field}", "data.task"]]


@pytest.mark.parametrize(
    "training",
    [
        {"loss": "ldam", "deferred_reweighting_share": 0.2},
        {"loss": "ldam", "deferred_reweighting_share": 0.2, "posthoc_tau": 1.0},
        {"loss": "focal", "deferred_reweighting_share": 0.2},
        {"loss": "vs", "deferred_reweighting_share": 1.0},
        {"loss": {"kind": "vs", "tau": 0.0}, "posthoc_tau": 1.0},
        {"loss": {"kind": "logit_adjustment", "tau": 0.0}, "posthoc_tau": 1.0},
        {"loss": "label_aware_smoothing", "posthoc_tau": 0.5},
    ],
)
def test_remedies_that_go_together_make_a_trial(training: dict[str, Any]) -> None:
    config = trial(training={"epochs": 10, **training})
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config


_STUDY: dict[str, Any] = {
    "name": "a",
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [8]},
    "training": {"epochs": 10},
    "growth": {"kind": "static"},
}


@pytest.mark.parametrize("data", [{"kind": "npz", "path": "a.npz"}, {"kind": "digits"}], ids=lambda data: data["kind"])
def test_a_saved_trial_comes_back(data: dict[str, Any]) -> None:
    config = trial(data=data)
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config
