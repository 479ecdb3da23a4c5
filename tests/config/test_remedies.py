import re
from typing import Any

import pytest

from neurosearch.config.base import ConfigError
from neurosearch.config.kinds import ConflictError
from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.remedies import (
    AUGMENTATION_KINDS,
    CLASSIFIER_KINDS,
    MIXING_KINDS,
    AugmentationFields,
    ClassifierFields,
    CropFlipFields,
    JointFields,
    MixingFields,
    RemixFields,
    RetrainedFields,
    TauNormalisedFields,
    UnaugmentedFields,
    UnmixedFields,
)
from neurosearch.config.trial import TrialConfig

REGRESSION = {"kind": "npz", "path": "a.npz", "task": "regression"}


def trial(data: Any = None, **training: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": data or {"kind": "digits"},
            "model": {"kind": "mlp", "widths": [8]},
            "training": {"epochs": 10, **training},
            "growth": {"kind": "static"},
        }
    )


def study(**training: Any) -> StudyConfig:
    values = {
        "name": "a",
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 10, **training},
        "growth": {"kind": "static"},
    }
    return study_from_mapping(values, "a.yaml")


def test_nothing_is_done_unless_it_is_asked_for() -> None:
    training = trial().training
    assert training.sampling == "instance"
    assert training.mixing == UnmixedFields()
    assert training.augmentation == UnaugmentedFields()
    assert training.classifier == JointFields()


@pytest.mark.parametrize(
    ("kinds", "fields"),
    [(MIXING_KINDS, MixingFields), (AUGMENTATION_KINDS, AugmentationFields), (CLASSIFIER_KINDS, ClassifierFields)],
)
def test_every_kind_is_known_by_its_name(kinds: Any, fields: Any) -> None:
    assert {name: each.model_fields["kind"].default for name, each in kinds.items()} == {name: name for name in kinds}
    assert set(kinds.values()) == set(fields.__args__)


def test_a_kind_alone_is_the_kind_with_its_defaults() -> None:
    training = trial(mixing="remix", augmentation="crop_flip", classifier="tau_normalised").training
    assert training.mixing == RemixFields(alpha=1.0, kappa=3.0, tau=0.5)
    assert training.augmentation == CropFlipFields(crop_padding=4, flip=True)
    assert training.classifier == TauNormalisedFields(tau=1.0)


def test_the_published_recipe_can_be_written() -> None:
    recipe = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 2e-4,
        "batch_size": 128,
        "epochs": 200,
        "warmup_epochs": 5,
        "schedule": "step",
        "drops": [0.8, 0.9],
        "drop_factor": 0.01,
        "augmentation": {"kind": "crop_flip", "crop_padding": 4, "flip": True},
    }
    written = trial(**recipe).training.model_dump(mode="json")
    assert {name: written[name] for name in recipe} == recipe


@pytest.mark.parametrize(
    ("data", "training", "clashing"),
    [
        (REGRESSION, {"loss": "mse", "sampling": "progressive"}, ["training.sampling", "data.task"]),
        (REGRESSION, {"loss": "mse", "mixing": "mixup"}, ["training.mixing", "data.task"]),
        (REGRESSION, {"loss": "mse", "classifier": "retrained"}, ["training.classifier", "data.task"]),
        (None, {"mixing": "mixup", "batch_size": 1}, ["training.mixing", "training.batch_size"]),
        (
            {"kind": "npz", "path": "a.npz", "layout": "features"},
            {"augmentation": "crop_flip"},
            ["training.augmentation", "data.layout"],
        ),
        (None, {"loss": "ldam", "classifier": "retrained"}, ["training.classifier", "training.loss"]),
        (None, {"loss": "ldam", "classifier": "tau_normalised"}, ["training.classifier", "training.loss"]),
        (None, {"loss": "ldam", "zap_period_epochs": 2}, ["training.zap_period_epochs", "training.loss"]),
        (
            None,
            {"classifier": {"kind": "retrained", "head_smoothing": 0.1, "tail_smoothing": 0.2}},
            ["training.classifier.tail_smoothing", "training.classifier.head_smoothing"],
        ),
        (
            None,
            {"posthoc_tau": 1.0, "classifier": "retrained"},
            ["training.posthoc_tau", "training.classifier.sampling"],
        ),
        (
            None,
            {"sampling": "class_balanced", "loss": "balanced_softmax"},
            ["training.sampling", "training.loss"],
        ),
        (None, {"sampling": "square_root", "loss": "vs"}, ["training.sampling", "training.loss"]),
        (None, {"sampling": "progressive", "loss": "logit_adjustment"}, ["training.sampling", "training.loss"]),
        (None, {"sampling": "class_balanced", "posthoc_tau": 1.0}, ["training.posthoc_tau", "training.sampling"]),
    ],
)
def test_what_cannot_be_combined_names_both_fields(data: Any, training: dict[str, Any], clashing: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(clashing[-1])) as caught:
        trial(data, **training)
    error = caught.value.errors()[0]["ctx"]["error"]  # type: ignore[attr-defined]
    assert isinstance(error, ConflictError)
    assert [list(each.fields) for each in error.conflicts] == [clashing]


@pytest.mark.parametrize(
    "training",
    [
        {"mixing": "remix", "loss": "ldam", "sampling": "square_root"},
        {"mixing": "mixup", "classifier": "retrained", "augmentation": "crop_flip", "loss": "focal"},
        {"posthoc_tau": 1.0, "classifier": {"kind": "retrained", "sampling": "instance"}},
        {"posthoc_tau": 1.0, "classifier": "tau_normalised"},
        {"sampling": "class_balanced", "loss": {"kind": "vs", "tau": 0.0}},
        {
            "posthoc_tau": 1.0,
            "sampling": "class_balanced",
            "classifier": {"kind": "retrained", "sampling": "instance"},
        },
    ],
)
def test_the_others_combine(training: dict[str, Any]) -> None:
    assert trial(**training).seed == 0


@pytest.mark.parametrize(
    ("training", "field", "words"),
    [
        ({"sampling": "balanced"}, "training.sampling", "Did you mean 'class_balanced'?"),
        ({"mixing": "mixed"}, "training.mixing", "Kinds: none, mixup, remix."),
        ({"mixing": {"kind": "mixup", "kappa": 3}}, "training.mixing.kappa", "unknown key"),
        ({"mixing": {"kind": "mixup", "alpha": 0}}, "training.mixing.alpha", "must be above 0"),
        ({"augmentation": {"kind": "crop"}}, "training.augmentation.kind", "Did you mean 'crop_flip'?"),
        ({"classifier": {"kind": "retrained", "epochs": 0}}, "training.classifier.epochs", "at least 1"),
        ({"classifier": {"kind": "tau_normalised", "tau": 3.0}}, "training.classifier.tau", "at most 2"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(training: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        study(**training)
    [problem] = caught.value.problems
    assert problem.field == field
    assert words in problem.text


def test_all_of_it_can_be_searched() -> None:
    made = study(
        sampling={"search": "choice", "options": ["instance", "progressive"]},
        mixing={
            "search": "one_of",
            "options": [{"kind": "none"}, {"kind": "mixup", "alpha": {"search": "uniform", "low": 0.1, "high": 1.0}}],
        },
        augmentation={"search": "choice", "options": ["none", "crop_flip"]},
        classifier={
            "search": "one_of",
            "options": [
                {"kind": "joint"},
                {"kind": "retrained", "epochs": {"search": "int", "low": 1, "high": 9}},
                {"kind": "tau_normalised", "tau": {"search": "uniform", "low": 0.0, "high": 2.0}},
            ],
        },
    )
    chosen = {"training.classifier": "retrained", "training.classifier.retrained.epochs": 4}
    found = made.trial(lambda name, node: chosen.get(name, getattr(node, "ends", getattr(node, "labels", ()))[-1]))
    assert found.training.classifier == RetrainedFields(epochs=4)
