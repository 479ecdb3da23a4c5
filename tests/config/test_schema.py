import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from neurosearch.config.losses import LOSS_KINDS
from neurosearch.config.schema import SHIPPED, schema_text, study_schema
from neurosearch.config.yaml_source import read_yaml

SHIPPED_CONFIGS = sorted((Path(__file__).parents[2] / "tune_configs").glob("*.yaml"))
WHOLE: dict[str, Any] = {
    "name": "a",
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [8]},
    "training": {"epochs": 2},
    "growth": {"kind": "static"},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = study_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_shipped_schema_is_what_the_command_prints() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == schema_text(), "write it anew: neurosearch schema --out " + str(
        SHIPPED
    )


@pytest.mark.parametrize("path", SHIPPED_CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_fits_and_names_the_schema(path: Path, validator: Draft202012Validator) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).resolve() == SHIPPED.resolve()
    assert [error.message for error in validator.iter_errors(read_yaml(path).values)] == []


def _changed(where: str, value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(json.dumps(WHOLE))
    *sections, last = where.split(".")
    section = whole
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = value
    return whole


CHOICE = {"search": "choice", "options": ["relu", "tanh"]}


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("training.learning_rate", {"search": "log_uniform", "low": 1e-4, "high": 0.1}),
        ("training.batch_size", {"search": "log_int", "low": 16, "high": 256, "steps": 5}),
        ("training.drops", [{"search": "uniform", "low": 0.5, "high": 0.7}, 0.9]),
        ("model.activation", CHOICE),
        ("model.widths", {"search": "choice", "options": [[8], [16, 8]]}),
        ("model.widths", {"search": "widths", "depth": {"low": 1, "high": 3}, "low": 8, "high": 64}),
        ("model.widths", [{"search": "int", "low": 8, "high": 16}, 8]),
        ("model.kind", {"search": "choice", "options": ["mlp", "cnn"]}),
        ("data.imbalance", {"search": "choice", "options": [None, {"ratio": 20}]}),
        ("data.imbalance.ratio", {"search": "uniform", "low": 2, "high": 20}),
        ("growth", {"search": "one_of", "options": [{"kind": "static"}, {"kind": "periodic"}]}),
        (
            "growth",
            {"kind": "events", "events": {"search": "schedule", "cycles": 2, "last_epoch": 8, "add_share": 0.5}},
        ),
        ("training.loss", "focal"),
        ("training.loss", {"kind": "focal", "gamma": {"search": "uniform", "low": 0.5, "high": 2}}),
        ("training.loss", {"search": "choice", "options": ["ldam", {"kind": "focal"}]}),
        (
            "training.loss",
            {
                "search": "one_of",
                "options": [{"kind": "mse"}, {"kind": "vs", "tau": {"search": "choice", "options": [0, 1]}}],
            },
        ),
        ("search.gpus_per_trial", "auto"),
    ],
)
def test_a_node_may_stand_where_a_value_may_be_searched(
    where: str, value: Any, validator: Draft202012Validator
) -> None:
    assert [error.message for error in validator.iter_errors(_changed(where, value))] == []


@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_every_loss_may_be_named_by_its_kind_alone(kind: str, validator: Draft202012Validator) -> None:
    assert validator.is_valid(_changed("training.loss", kind))
    assert validator.is_valid(_changed("training.loss", {"kind": kind}))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("nonsense", 1),
        ("training.learning_rat", 0.1),
        ("training.learning_rate", -1.0),
        ("training.learning_rate", {"search": "log_uniform", "low": 0.1}),
        ("training.learning_rate", {"search": "widths", "depth": 1, "low": 8, "high": 64}),
        ("training.optimizer", {"search": "choice", "options": ["adamw", "adammw"]}),
        ("model.activation", {"search": "int", "low": 1, "high": 2}),
        ("model", {"widths": [8]}),
        ("growth", {"search": "one_of", "options": [{"kind": "nimbel"}]}),
        ("training.loss", "focl"),
        ("training.loss", {"gamma": 1}),
        ("training.loss", {"kind": "focal", "gamma": -1}),
        ("training.loss", {"search": "choice", "options": ["focl"]}),
        ("training.loss", {"search": "one_of", "options": [{"kind": "vs", "gama": 1}]}),
        ("search.trials", {"search": "int", "low": 1, "high": 2}),
        ("search.gpus_per_trial", "all"),
        ("name", "With Spaces"),
    ],
)
def test_what_is_wrong_is_underlined(where: str, value: Any, validator: Draft202012Validator) -> None:
    assert not validator.is_valid(_changed(where, value))


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from ([schema["$ref"]] if "$ref" in schema else [])
        for value in schema.values():
            yield from _names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _names(value)


def test_every_reference_leads_somewhere_and_every_field_is_described() -> None:
    schema = study_schema()
    assert {name.removeprefix("#/$defs/") for name in _names(schema)} <= schema["$defs"].keys()
    silent = {
        name
        for section in ("TrainingFields", "SearchFields", "StudyFields", "NimbleFields")
        for name, field in schema["$defs"].get(section, {}).get("properties", {}).items()
        if "description" not in field and name != "kind"
    }
    assert silent == set()
