from itertools import product
from typing import Any

from neurosearch.config import corners as room
from neurosearch.config.corners import corners
from neurosearch.config.search_nodes import make_template
from neurosearch.config.yaml_source import parse_yaml


def seen(text: str) -> list[dict[str, Any]]:
    template, problems = make_template(parse_yaml(text, "f.yaml"))
    assert problems == ()
    return [corner.sections for corner in corners(template)]


def test_without_nodes_there_is_one_corner() -> None:
    assert seen("training: {epochs: 3}") == [{"training": {"epochs": 3}}]


def test_every_combination_of_ends_and_options_is_a_corner() -> None:
    found = seen(
        "training: {a: {search: int, low: 1, high: 5}, b: {search: choice, options: [x, y, z]}}\n"
        "growth: {search: one_of, options: [{kind: p, c: {search: int, low: 0, high: 1}}, {kind: q}]}"
    )
    growths = [{"kind": "p", "c": 0}, {"kind": "p", "c": 1}, {"kind": "q"}]
    assert len(found) == 18
    for a, b, growth in product((1, 5), "xyz", growths):
        assert {"training": {"a": a, "b": b}, "growth": growth} in found


def test_a_node_inside_an_option_inside_an_option_is_reached() -> None:
    found = seen(
        "growth: {search: one_of, options: [{kind: p, x: {search: one_of, options: "
        "[{kind: r}, {kind: s, y: {search: int, low: 1, high: 2}}]}}, {kind: q}]}"
    )
    assert [corner["growth"] for corner in found] == [
        {"kind": "p", "x": {"kind": "r"}},
        {"kind": "p", "x": {"kind": "s", "y": 1}},
        {"kind": "p", "x": {"kind": "s", "y": 2}},
        {"kind": "q"},
    ]


def test_a_space_with_too_many_corners_has_every_pair_of_ends() -> None:
    fields = ", ".join(f"f{n}: {{search: int, low: 0, high: 1}}" for n in range(14))
    assert room.MAXIMUM_CORNERS < 2**14
    found = [corner["training"] for corner in seen(f"training: {{{fields}}}")]
    assert len(found) < 500
    for one, other in product(range(14), repeat=2):
        pairs = {(corner[f"f{one}"], corner[f"f{other}"]) for corner in found}
        assert pairs == ({(0, 0), (1, 1)} if one == other else {(0, 0), (0, 1), (1, 0), (1, 1)})


def test_a_pair_inside_and_outside_an_option_meets_in_a_large_space() -> None:
    fields = ", ".join(f"f{n}: {{search: int, low: 0, high: 1}}" for n in range(13))
    growth = "{search: one_of, options: [{kind: p}, {kind: q, g: {search: int, low: 0, high: 1}}]}"
    found = seen(f"training: {{{fields}}}\ngrowth: {growth}")
    assert any(corner["growth"] == {"kind": "q", "g": 1} and corner["training"]["f12"] == 1 for corner in found)


def test_a_composite_is_checked_where_its_value_is_most_extreme() -> None:
    found = seen(
        "model: {widths: {search: widths, depth: {low: 1, high: 3}, low: 4, high: 8}}\n"
        "growth: {search: one_of, options: [{kind: q}, {kind: p, events: {search: schedule, cycles: 1, last_epoch: 9, "
        "add_share: {low: 0.25, high: 1}}}]}"
    )
    widths = [[4], [8], [4, 4, 4], [8, 8, 8], [4, 4, 8], [8, 4, 4]]
    epochs = [(0, 1), (8, 9), (0, 9)]
    growths = [{"kind": "q"}] + [
        {"kind": "p", "events": [{"epoch": first, "add_share": share}, {"epoch": last, "remove_share": share}]}
        for share in (0.25, 1.0)
        for first, last in epochs
    ]
    assert len(found) == len(widths) * len(growths)
    for pair in product(widths, growths):
        assert {"model": {"widths": pair[0]}, "growth": pair[1]} in found


def test_a_space_of_very_many_hyperparameters_has_few_corners() -> None:
    schedule = "{search: schedule, cycles: {low: 1, high: 100}, last_epoch: 999, add_share: {low: 0.25, high: 1}}"
    assert len(seen(f"growth: {{search: one_of, options: [{{events: {schedule}}}, {{events: {schedule}}}]}}")) == 24
