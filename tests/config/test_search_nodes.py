from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.config.search_nodes import (
    ChoiceNode,
    IntNode,
    LogIntNode,
    LogUniformNode,
    Node,
    OneOfNode,
    UniformNode,
    make_template,
    resolve,
    slots,
)
from neurosearch.config.yaml_source import parse_yaml

TEXT = """\
data: {kind: digits}
model:
  kind: mlp
  widths: [{search: int, low: 1, high: 9, step: 4}, 16]
training:
  learning_rate: {search: log_uniform, low: 1e-3, high: 1e-1}
growth:
  search: one_of
  options:
    - {kind: static}
    - {kind: periodic, grow_share: {search: uniform, low: 0.5, high: 1}}
    - {kind: periodic, start: {search: choice, options: [zero_outgoing, shared_copy]}}
"""


def template() -> Any:
    found, problems = make_template(parse_yaml(TEXT, "f.yaml"))
    assert problems == ()
    return found


def first(_name: str, node: Node) -> Any:
    return node.labels[0] if isinstance(node, OneOfNode) else node.ends[0]


def test_hyperparameters_are_named_by_their_place_and_their_option() -> None:
    assert template().names == (
        "model.widths[0]",
        "training.learning_rate",
        "growth",
        "growth.periodic-1.grow_share",
        "growth.periodic-2.start",
    )


def test_a_hyperparameter_inside_an_option_requires_that_option() -> None:
    requires = {slot.name: dict(slot.requires) for slot in slots(template())}
    assert requires["growth.periodic-2.start"] == {"growth": ("periodic-2",)}
    assert requires["growth"] == {}


def test_chosen_values_stand_where_the_nodes_stood() -> None:
    resolved = resolve(template(), first)
    assert resolved.sections == {
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [1, 16]},
        "training": {"learning_rate": 1e-3},
        "growth": {"kind": "static"},
    }


def test_only_hyperparameters_that_exist_are_asked_for() -> None:
    asked = []

    def choose(name: str, node: Node) -> Any:
        asked.append(name)
        return "periodic-2" if name == "growth" else first(name, node)

    resolve(template(), choose)
    assert asked == ["model.widths[0]", "training.learning_rate", "growth", "growth.periodic-2.start"]


def test_origins_lead_back_to_the_file() -> None:
    chosen = {"growth": "periodic-2", "growth.periodic-2.start": "shared_copy"}
    resolved = resolve(template(), lambda name, node: chosen.get(name) or first(name, node))
    assert resolved.origins[("growth", "start")] == ("growth", "options", 2, "start")
    assert resolved.ends[("growth", "start")] == ("growth", "options", 2, "start", "options", 1)
    assert resolved.ends[("model", "widths", 0)] == ("model", "widths", 0, "low")


COMPOSITES = """\
model: {kind: mlp, widths: {search: widths, depth: {low: 1, high: 3}, low: 4, high: 8}}
growth:
  search: one_of
  options:
    - {kind: static}
    - kind: events
      events: {search: schedule, cycles: {low: 1, high: 2}, last_epoch: 9, add_share: {low: 0.25, high: 1}}
"""


def composites() -> Any:
    found, problems = make_template(parse_yaml(COMPOSITES, "f.yaml"))
    assert problems == ()
    return found


def test_a_composite_is_seen_as_its_hyperparameters() -> None:
    requires = {slot.name: dict(slot.requires) for slot in slots(composites())}
    events, cycles = {"growth": ("events",)}, {"growth.events.events.cycles": (2,)}
    assert requires == {
        "model.widths.depth": {},
        "model.widths.layer_1": {},
        "model.widths.layer_2": {"model.widths.depth": (2, 3)},
        "model.widths.layer_3": {"model.widths.depth": (3,)},
        "growth": {},
        "growth.events.events.cycles": events,
        "growth.events.events.cycle_1.start": events,
        "growth.events.events.cycle_1.length": events,
        "growth.events.events.cycle_1.add_share": events,
        "growth.events.events.cycle_2.start": events | cycles,
        "growth.events.events.cycle_2.length": events | cycles,
        "growth.events.events.cycle_2.add_share": events | cycles,
    }


@given(st.data())
def test_exactly_the_hyperparameters_that_exist_are_asked_for_in_their_order(data: st.DataObject) -> None:
    told: dict[str, Any] = {}

    def choose(name: str, node: Node) -> Any:
        assert name not in told
        ends = node.labels if isinstance(node, OneOfNode) else node.ends
        told[name] = data.draw(st.integers(*ends) if isinstance(node, IntNode) else st.sampled_from(ends))
        return told[name]

    resolve(composites(), choose)
    assert list(told) == [slot.name for slot in slots(composites()) if slot.exists(told)]


def test_parts_of_a_composites_value_lead_back_to_its_keys() -> None:
    chosen = {"growth": "events", "model.widths.depth": 3, "model.widths.layer_2": 8}
    resolved = resolve(composites(), lambda name, node: chosen.get(name) or first(name, node))
    assert resolved.sections["model"]["widths"] == [4, 8, 4]
    assert resolved.origins[("model", "widths")] == ("model", "widths")
    assert resolved.ends[("model", "widths")] == ("model", "widths", "depth", "high")
    assert resolved.ends[("model", "widths", 1)] == ("model", "widths", "high")
    events = ("growth", "options", 1, "events")
    assert resolved.origins[("growth", "events", 1, "epoch")] == (*events, "last_epoch")
    assert resolved.origins[("growth", "events", 1, "remove_share")] == (*events, "add_share")
    assert resolved.ends[("growth", "events", 1, "remove_share")] == (*events, "add_share", "low")


@pytest.mark.parametrize(
    ("node", "ends"),
    [
        (IntNode(search="int", low=1, high=9), (1, 9)),
        (IntNode(search="int", low=1, high=9, step=3), (1, 7)),
        (UniformNode(search="uniform", low=0.0, high=1.0), (0.0, 1.0)),
        (UniformNode(search="uniform", low=0.1, high=0.7, step=0.2), (0.1, 0.7)),
        (UniformNode(search="uniform", low=0.0, high=1.0, step=0.14285714286), (0.0, 1.0)),
        (UniformNode(search="uniform", low=0.0, high=1.0, step=0.4), (0.0, 0.8)),
        (LogUniformNode(search="log_uniform", low=1e-3, high=1.0, steps=3), (1e-3, 1.0)),
        (LogIntNode(search="log_int", low=8, high=64, steps=4), (8, 64)),
        (ChoiceNode(search="choice", options=([1], "x", None)), ([1], "x", None)),
    ],
)
def test_ends_are_the_values_a_search_can_reach(node: Any, ends: object) -> None:
    assert node.ends == ends


@given(st.integers(-50, 50), st.integers(1, 50), st.integers(1, 9))
def test_the_highest_end_is_the_last_step_within_the_range(low: int, width: int, step: int) -> None:
    node = IntNode(search="int", low=low, high=low + width, step=step)
    assert node.ends == (low, max(range(low, low + width + 1, step)))


def test_labels_are_kinds_numbered_where_a_kind_stands_twice() -> None:
    options = ({"kind": "a"}, {"kind": "b"}, {"kind": "a"})
    assert OneOfNode(search="one_of", options=options).labels == ("a-1", "b", "a-2")


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(2, 40))
def test_logarithmic_whole_numbers_ascend_from_end_to_end_by_about_equal_ratios(
    low: int, more: int, steps: int
) -> None:
    values = LogIntNode(search="log_int", low=low, high=low + more, steps=steps).values
    assert (values[0], values[-1]) == (low, low + more)
    assert list(values) == sorted(set(values))
    assert len(values) <= steps
    ratio = ((low + more) / low) ** (1 / (steps - 1))
    assert all(after - before <= (ratio - 1) * before + 0.5 * (ratio + 1) + 1e-6 for before, after in pairwise(values))
