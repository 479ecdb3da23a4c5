import itertools

import pytest
from jsonschema import Draft202012Validator

from neurosearch.config.kinds import kinds
from neurosearch.config.load import study_from_text
from neurosearch.config.schema import study_schema
from neurosearch.config.starter import Starter, fields_to_ask, starter_text
from neurosearch.config.yaml_source import parse_yaml

ANSWERS = {"path": "mine", "folder": "mine", "train_list": "train.txt", "name": "resnet18"}
NAMES = {("data", "torchvision"): "CIFAR10"}


def section(group, kind):
    found = {"kind": kind}
    for name in fields_to_ask(group, kind):
        found[name] = NAMES.get((group, kind), ANSWERS[name]) if name == "name" else ANSWERS[name]
    return found


def starter(data="digits", model="mlp", **replaced):
    limit = replaced.pop("limit", ("parameters", 20000))
    answers = {"name": "a-1", "epochs": 20, "trials": 3, "schema": "s.json", **replaced}
    return Starter(data=section("data", data), model=section("models", model), limit=limit, **answers)


@pytest.mark.parametrize(("data", "model"), list(itertools.product(kinds("data"), kinds("models"))))
def test_every_pair_of_kinds_gives_a_config_that_passes_the_check_and_fits_the_schema(data, model, tmp_path):
    text = starter_text(starter(data, model))
    study = study_from_text(text, tmp_path / "a.yaml")
    assert (study.study.name, study.study.search.trials) == ("a-1", 3)
    assert "growth" in study.template.names
    errors = Draft202012Validator(study_schema()).iter_errors(parse_yaml(text, "a").values)
    assert [error.message for error in errors] == []


@pytest.mark.parametrize("epochs", [1, 4, 5, 9, 10, 200])
def test_any_number_of_epochs_will_do(epochs, tmp_path):
    study = study_from_text(starter_text(starter(epochs=epochs)), tmp_path / "a.yaml")
    options = study.to_mapping()["growth"]["options"]
    periods = [option["period_epochs"] for option in options if option["kind"] == "periodic"]
    assert periods == {10: [5], 200: [70]}.get(epochs, [])


@pytest.mark.parametrize("limit", [("parameters", 1), ("neurons", 40), ("multiply_adds", 10**9)])
def test_the_limit_is_written(limit, tmp_path):
    assert study_from_text(starter_text(starter(limit=limit)), tmp_path / "a.yaml").study.size_limit.metric == limit[0]


def test_every_field_is_there_or_commented_out_with_its_default():
    text = starter_text(starter("npz"))
    assert text.startswith("# yaml-language-server: $schema=s.json\n")
    for group, section_name in (("data", "npz"), ("models", "mlp")):
        for name in kinds(group)[section_name].fields.model_fields:
            assert f"\n  {name}: " in text or f"\n  # {name}: " in text, name
    assert "# validation_share: 0.2  # Share of every class" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["1", "007", "1e3", "no", "a-b"])
def test_a_name_that_yaml_reads_as_something_else_is_quoted(name, tmp_path):
    assert study_from_text(starter_text(starter(name=name)), tmp_path / "a.yaml").study.name == name


def test_regression_gets_losses_and_an_objective_of_its_own(tmp_path):
    regression = starter("npz")
    regression.data["task"] = "regression"
    study = study_from_text(starter_text(regression), tmp_path / "a.yaml")
    assert [objective.metric for objective in study.study.search.objectives] == ["rmse"]


def test_what_must_be_asked_is_what_has_no_default():
    assert set(fields_to_ask("data", "npz")) == {"path"}
    assert fields_to_ask("data", "digits") == fields_to_ask("models", "mlp") == {}
    assert set(fields_to_ask("models", "torchvision")) == {"name"}
