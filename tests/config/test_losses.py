from typing import Any

import pytest

from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.losses import LOSS_KINDS, LOSSES, FocalFields
from neurosearch.config.search_nodes import Node, slots
from neurosearch.config.trial import TrialConfig
from neurosearch.config.unions import union_above, without_tag
from neurosearch.config.values import values_of

CHOICE = {"search": "choice", "options": ["cross_entropy", "ldam", {"kind": "focal", "gamma": 2.0}]}
ONE_OF = {
    "search": "one_of",
    "options": [
        {"kind": "cross_entropy"},
        {"kind": "focal", "gamma": {"search": "uniform", "low": 0.5, "high": 2.0}},
        {"kind": "vs", "gamma": 0.1, "tau": {"search": "choice", "options": [0.5, 1.0]}},
    ],
}


def study(loss: Any, **data: Any) -> StudyConfig:
    values = {
        "name": "a",
        "data": {"kind": "digits", **data},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 10, "loss": loss},
        "growth": {"kind": "static"},
    }
    return study_from_mapping(values, "a")


def trial(loss: Any, **chosen: Any) -> TrialConfig:
    def choose(name: str, _node: Node) -> Any:
        return chosen[name]

    return study(loss).trial(choose)


@pytest.mark.parametrize("kind", LOSSES["classification"])
def test_a_kind_alone_is_the_kind_with_its_defaults(kind: str) -> None:
    assert trial(kind) == trial({"kind": kind})
    assert trial(kind).training.loss.kind == kind


@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_every_kind_says_what_it_is_and_describes_its_fields(kind: str) -> None:
    fields = LOSS_KINDS[kind]
    assert fields.__doc__
    assert all(field.description for name, field in fields.model_fields.items() if name != "kind")


@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_a_saved_loss_comes_back(kind: str) -> None:
    fields = LOSS_KINDS[kind]()
    assert type(fields).model_validate(fields.model_dump(mode="json")) == fields


@pytest.mark.parametrize("option", CHOICE["options"])
def test_a_choice_draws_kinds_and_sections_alike(option: Any) -> None:
    config = trial(CHOICE, **{"training.loss": option})
    assert config.training.loss.kind == (option if isinstance(option, str) else option["kind"])
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config
    assert values_of(study(CHOICE), config) == {"training.loss": option}


@pytest.mark.parametrize(
    "values",
    [
        {"training.loss": "cross_entropy"},
        {"training.loss": "focal", "training.loss.focal.gamma": 1.25},
        {"training.loss": "vs", "training.loss.vs.tau": 0.5},
    ],
)
def test_one_of_searches_inside_each_loss(values: dict[str, Any]) -> None:
    config = trial(ONE_OF, **values)
    assert values_of(study(ONE_OF), config) == values
    assert {slot.name for slot in slots(study(ONE_OF).template)} == {
        "training.loss",
        "training.loss.focal.gamma",
        "training.loss.vs.tau",
    }


def test_a_field_of_a_fixed_loss_may_be_searched() -> None:
    loss = {"kind": "focal", "gamma": {"search": "uniform", "low": 0.5, "high": 2.0}}
    assert trial(loss, **{"training.loss.gamma": 0.75}).training.loss == FocalFields(gamma=0.75)


def test_the_short_form_of_a_fixed_loss_is_found_again() -> None:
    assert values_of(study("focal"), trial("focal")) == {}
    assert values_of(study("focal"), trial({"kind": "focal", "gamma": 2.0})) is None


def test_places_inside_a_union_lose_the_name_of_the_kind() -> None:
    assert without_tag(("training", "loss", "focal", "gamma")) == ("training", "loss", "gamma")
    assert without_tag(("growth", "periodic", "start")) == ("growth", "start")
    assert without_tag(("training", "epochs")) == ("training", "epochs")
    assert union_above(("training",)) is None
