import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.config.search_nodes import IntNode, LogIntNode, OneOfNode, make_template, resolve
from neurosearch.config.yaml_source import Source
from neurosearch.search.finite import finite_space
from neurosearch.search.space import value_of

WIDTHS = [
    [4],
    {"search": "widths", "depth": {"low": 1, "high": 3}, "low": 1, "high": 2},
    {"search": "widths", "depth": {"low": 2, "high": 3}, "low": 2, "high": 9, "spacing": "log"},
    {"search": "widths", "depth": {"low": 1, "high": 4}, "low": 1, "high": 3, "shape": "constant"},
    {"search": "widths", "depth": 2, "low": 1, "high": 3, "shape": "tapering", "share_step": 0.5},
    {"search": "widths", "depth": {"low": 1, "high": 2}, "low": 4, "high": 4},
]
SCHEDULE = {"search": "schedule", "last_epoch": 5, "share_step": 1.0}
SCHEDULES = [
    {**SCHEDULE, "cycles": 1, "add_share": 0.5},
    {**SCHEDULE, "cycles": {"low": 1, "high": 2}, "add_share": 0.5},
    {**SCHEDULE, "cycles": {"low": 1, "high": 2}, "add_share": {"low": 0.5, "high": 1.0, "step": 0.5}},
]
OTHERS = [1, {"search": "int", "low": 1, "high": 5, "step": 2}, {"search": "log_int", "low": 1, "high": 8, "steps": 4}]


@st.composite
def templates(draw):
    events = draw(st.sampled_from(SCHEDULES))
    growth = draw(
        st.sampled_from([{"events": events}, {"search": "one_of", "options": [{"kind": "a"}, {"events": events}]}])
    )
    values = {
        "model": {"widths": draw(st.sampled_from(WIDTHS))},
        "training": {"epochs": draw(st.sampled_from(OTHERS))},
        "growth": growth,
    }
    template, problems = make_template(Source(values, {}, "test"))
    assert not problems
    return template


def values(node):
    if isinstance(node, OneOfNode):
        return node.labels
    if isinstance(node, LogIntNode):
        return node.values
    last = round((node.ends[1] - node.ends[0]) / node.step)
    numbers = [node.low + position * node.step for position in range(last + 1)]
    return [int(number) for number in numbers] if isinstance(node, IntNode) else numbers


def every_point(template):
    """Walks all ways to answer: each point is a list of answers, the next one differs in the last that can."""
    answers = []
    while True:
        asked = []

        def choose(name, node, asked=asked):
            asked.append((name, values(node)))
            answers.extend([0] * (len(asked) - len(answers)))
            return asked[-1][1][answers[len(asked) - 1]]

        resolve(template, choose)
        yield {name: options[answer] for (name, options), answer in zip(asked, answers, strict=True)}
        while answers and answers[-1] + 1 == len(asked[len(answers) - 1][1]):
            answers.pop()
        if not answers:
            return
        answers[-1] += 1


@given(templates())
@settings(deadline=None, max_examples=10)
def test_the_points_of_a_space_are_all_ways_to_choose(template):
    space = finite_space(template)
    expected = list(every_point(template))
    assert space.size == len(expected)
    found = []
    for index in range(space.size):
        positions, told = space.point(index), {}

        def choose(name, node, positions=positions, told=told):
            told[name] = value_of(node, positions[name])
            return told[name]

        resolve(template, choose)
        assert told.keys() == positions.keys()
        found.append(told)
    assert {tuple(sorted(point.items())) for point in found} == {tuple(sorted(point.items())) for point in expected}


@pytest.mark.parametrize(
    ("section", "node"),
    [
        ("model", {"search": "widths", "depth": 2, "low": 1, "high": 3, "shape": "tapering"}),
        ("growth", {"search": "schedule", "last_epoch": 5, "cycles": 1, "add_share": 0.5}),
        ("growth", {**SCHEDULE, "cycles": 1, "add_share": {"low": 0.5, "high": 1.0}}),
    ],
)
def test_a_continuous_range_inside_a_node_makes_the_space_infinite(section, node):
    template, _ = make_template(Source({section: {"x": node}}, {}, "test"))
    assert finite_space(template) is None
