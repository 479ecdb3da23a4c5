import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.search_nodes import IntNode, LogIntNode, Node, OneOfNode
from neurosearch.config.trial import TrialConfig
from neurosearch.config.values import values_of

VALUES: dict[str, Any] = {
    "name": "x",
    "data": {"kind": "digits"},
    "model": {
        "kind": "mlp",
        "widths": {"search": "widths", "depth": {"low": 1, "high": 3}, "low": 4, "high": 32, "spacing": "log"},
        "norm": {"search": "choice", "options": ["none", "batch"]},
    },
    "training": {
        "epochs": 12,
        "batch_size": {"search": "log_int", "low": 16, "high": 128, "steps": 4},
        "drops": [{"search": "uniform", "low": 0.5, "high": 0.7, "step": 0.1}, 0.9],
    },
    "growth": {
        "search": "one_of",
        "options": [
            {"kind": "static"},
            {
                "kind": "events",
                "events": {
                    "search": "schedule",
                    "cycles": {"low": 1, "high": 3},
                    "last_epoch": 8,
                    "add_share": {"low": 0.25, "high": 1.0},
                },
            },
            {"kind": "periodic", "period_epochs": {"search": "int", "low": 4, "high": 6}},
            {"kind": "periodic", "period_epochs": {"search": "int", "low": 5, "high": 9}, "start": "shared_copy"},
        ],
    },
}
STUDY = study_from_mapping(VALUES, "x.yaml")


def drawn(study: StudyConfig, data: st.DataObject) -> tuple[TrialConfig, dict[str, Any]]:
    told: dict[str, Any] = {}

    def choose(name: str, node: Node) -> Any:
        if isinstance(node, LogIntNode):
            told[name] = data.draw(st.sampled_from(node.values))
        elif isinstance(node, IntNode):
            told[name] = data.draw(st.integers(*node.ends))
        elif isinstance(node, OneOfNode):
            told[name] = data.draw(st.sampled_from(node.labels))
        elif getattr(node, "step", None) is None and len(node.ends) == 2 and isinstance(node.ends[0], float):
            told[name] = data.draw(st.floats(*node.ends))
        else:
            told[name] = data.draw(st.sampled_from(node.ends))
        return told[name]

    return study.trial(choose), told


@given(st.data())
@settings(deadline=None)
def test_a_config_leads_to_values_and_values_to_the_config(data: st.DataObject) -> None:
    config, _ = drawn(STUDY, data)
    found = values_of(STUDY, TrialConfig.model_validate(json.loads(config.model_dump_json())))
    assert found is not None
    assert STUDY.trial(lambda name, _: found[name]) == config
    assert values_of(STUDY, STUDY.trial(lambda name, _: found[name])) == found


@given(st.data())
@settings(deadline=None)
def test_stored_values_give_the_config_that_they_were_told_of(data: st.DataObject) -> None:
    config, told = drawn(STUDY, data)
    stored = json.loads(json.dumps(told))
    assert stored == told
    assert STUDY.trial(lambda name, _: stored[name]) == config


def test_a_config_outside_the_space_leads_to_nothing() -> None:
    config = STUDY.trial(lambda name, node: "static" if name == "growth" else node.ends[0])  # type: ignore[union-attr]
    assert values_of(STUDY, config) is not None
    plain = config.model_dump(mode="json")
    for section, field, value in (
        ("model", "widths", [5]),
        ("model", "widths", [4] * 4),
        ("model", "dropout", 0.5),
        ("training", "epochs", 13),
        ("training", "batch_size", 17),
        ("growth", "kind", "nimble"),
    ):
        changed = {**plain, section: {**plain[section], field: value}}
        assert values_of(STUDY, TrialConfig.model_validate(changed)) is None
    events = [{"epoch": 0, "add_share": 0.5}, {"epoch": 9, "remove_share": 0.5}]
    late = {**plain, "growth": {"kind": "events", "events": events}}
    assert values_of(STUDY, TrialConfig.model_validate(late)) is None
    events[1]["epoch"] = 8
    assert values_of(STUDY, TrialConfig.model_validate(late)) is not None
