import math
from itertools import islice

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import RandomSampler

from neurosearch.config.search_nodes import (
    ChoiceNode,
    IntNode,
    LogIntNode,
    LogUniformNode,
    OneOfNode,
    UniformNode,
    make_template,
    resolve,
    slots,
)
from neurosearch.config.yaml_source import Source
from neurosearch.search.finite import finite_space
from neurosearch.search.space import (
    chooser,
    distribution_of,
    drawn_by,
    position_at,
    position_of,
    share_of,
    value_of,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)

positive = st.floats(1e-6, 1e3, allow_nan=False)
options = st.one_of(
    st.integers(-3, 3), st.booleans(), st.sampled_from(["1", "a", "true"]), st.lists(st.integers(1, 9)), st.none()
)


@st.composite
def nodes(draw):
    kind = draw(st.sampled_from(["int", "log_int", "uniform", "log_uniform", "choice"]))
    if kind == "choice":
        return ChoiceNode(search="choice", options=tuple(draw(st.lists(options, min_size=1, max_size=5))))
    if kind == "int":
        low = draw(st.integers(-50, 50))
        high = low + draw(st.integers(1, 50))
        return IntNode(search="int", low=low, high=high, step=draw(st.integers(1, 60)))
    if kind == "log_int":
        low = draw(st.integers(1, 500))
        high = low + draw(st.integers(1, 5000))
        return LogIntNode(search="log_int", low=low, high=high, steps=draw(st.integers(2, 30)))
    low = draw(positive)
    high = low * draw(st.floats(1.001, 1e3))
    if kind == "uniform":
        step = draw(st.none() | st.floats((high - low) / 50, 2 * (high - low)))
        return UniformNode(search="uniform", low=low, high=high, step=step)
    return LogUniformNode(search="log_uniform", low=low, high=high, steps=draw(st.none() | st.integers(2, 20)))


def drawn(node, seed):
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    return chooser(drawn_by(study.ask()), lambda name, value: None)("x", node)


@given(nodes(), st.integers(0, 1000))
def test_a_drawn_value_lies_in_its_node(node, seed):
    value = drawn(node, seed)
    if isinstance(node, ChoiceNode):
        assert any(value is option or (type(value) is type(option) and value == option) for option in node.options)
    else:
        low, high = node.ends
        assert low <= value <= high
        assert isinstance(value, int if isinstance(node, IntNode | LogIntNode) else float)


@given(nodes())
def test_every_point_of_a_finite_node_is_drawn_from_a_position_of_its_own(node):
    distribution = distribution_of(node)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        positions = range(distribution.low, distribution.high + 1, distribution.step)
        values = [value_of(node, position) for position in positions]
        assert values[0] == node.ends[0]
        assert values[-1] == node.ends[1]
        assert values == sorted(set(values))


@given(nodes(), st.floats(0, 1, exclude_max=True))
def test_a_drawn_value_leads_back_to_its_position(node, share):
    position = position_at(distribution_of(node), share)
    again = position_of(node, value_of(node, position))
    assert value_of(node, again) == value_of(node, position)


@given(nodes(), st.floats(0, 1, exclude_max=True))
def test_the_share_below_a_position_leads_back_to_it(node, share):
    distribution = distribution_of(node)
    if not isinstance(distribution, optuna.distributions.CategoricalDistribution) and not distribution.single():
        position = position_at(distribution, share)
        assert position_at(distribution, share_of(distribution, position)) == pytest.approx(position)


@given(nodes())
def test_what_lies_outside_a_node_has_no_position(node):
    outside = "somewhere" if isinstance(node, ChoiceNode) else node.ends[1] * 1.01 + 1
    assert position_of(node, outside) is None
    assert position_of(node, {"a": 1}) is None


def test_a_logarithmic_range_with_steps_has_its_ends_and_equal_ratios():
    node = LogUniformNode(search="log_uniform", low=1e-4, high=1e-1, steps=4)
    assert [value_of(node, position) for position in range(4)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert (value_of(node, 0), value_of(node, 3)) == (1e-4, 1e-1)


def test_the_steps_of_a_range_are_the_numbers_that_one_would_write():
    node = UniformNode(search="uniform", low=0.1, high=0.7, step=0.1)
    assert [value_of(node, position) for position in range(7)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_what_is_no_number_of_a_range_with_steps_has_no_position(value):
    assert position_of(UniformNode(search="uniform", low=0.1, high=0.7, step=0.1), value) is None
    assert position_of(LogUniformNode(search="log_uniform", low=0.1, high=0.7, steps=3), value) is None


def test_options_that_are_not_texts_are_written_as_json():
    node = ChoiceNode(search="choice", options=([32, 32], "relu", None, 0.5, True))
    assert distribution_of(node).choices == ("[32, 32]", "relu", "null", "0.5", "true")
    assert [value_of(node, text) for text in distribution_of(node).choices] == list(node.options)


def test_options_that_would_be_written_alike_stay_apart():
    node = ChoiceNode(search="choice", options=(1, "1"))
    texts = distribution_of(node).choices
    assert len(set(texts)) == 2
    assert [value_of(node, text) for text in texts] == [1, "1"]


def test_the_options_of_a_one_of_are_drawn_by_label():
    node = OneOfNode(search="one_of", options=({"kind": "static"}, {"kind": "nimble"}))
    assert distribution_of(node).choices == ("static", "nimble")


def template_of(values):
    template, problems = make_template(Source(values, {}, "test"))
    assert not problems
    return template


def all_points(template):
    """Counts by walking the tree of choices."""
    every = list(slots(template))

    def extend(chosen, rest):
        if not rest:
            yield chosen
            return
        slot, *later = rest
        if not slot.exists(chosen):
            yield from extend(chosen, later)
            return
        distribution = distribution_of(slot.node)
        positions = (
            distribution.choices
            if isinstance(distribution, optuna.distributions.CategoricalDistribution)
            else range(distribution.low, distribution.high + 1, distribution.step)
        )
        for position in positions:
            yield from extend({**chosen, slot.name: value_of(slot.node, position)}, later)

    return extend({}, every)


def test_the_points_of_a_finite_space_are_counted():
    template = template_of(
        {
            "training": {"epochs": {"search": "int", "low": 1, "high": 10, "step": 4}},
            "model": {"widths": [{"search": "choice", "options": [1, 2]}, {"search": "choice", "options": [3, 3]}]},
            "growth": {
                "search": "one_of",
                "options": [
                    {"kind": "static"},
                    {"kind": "a", "x": {"search": "uniform", "low": 0.0, "high": 1.0, "step": 0.3}},
                    {"kind": "b", "x": {"search": "log_uniform", "low": 1.0, "high": 9.0, "steps": 3}},
                ],
            },
        }
    )
    assert finite_space(template).size == len(list(all_points(template))) == 3 * 2 * 1 * (1 + 4 + 3)


def test_a_continuous_node_makes_the_space_infinite():
    continuous = {"search": "uniform", "low": 0.0, "high": 1.0}
    assert finite_space(template_of({"growth": {"search": "one_of", "options": [{"x": continuous}, {}]}})) is None
    assert finite_space(template_of({"training": {"epochs": 3}})).size == 1


def test_told_values_are_those_of_the_resolved_config(make_config):
    template = make_config().template
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    for trial in islice(iter(study.ask, None), 20):
        told = {}
        sections = resolve(template, chooser(drawn_by(trial), told.__setitem__)).sections
        assert told["training.learning_rate"] == sections["training"]["learning_rate"]
        assert told["model.widths"] == sections["model"]["widths"]
        assert told["growth"] == sections["growth"]["kind"]
        assert told.get("growth.nimble.target_share") == sections["growth"].get("target_share")
