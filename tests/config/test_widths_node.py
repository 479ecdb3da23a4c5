from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neurosearch.config.model import MlpFields
from neurosearch.config.nodes import IntNode, LogIntNode
from neurosearch.config.widths_node import WidthsNode


def node(**keys: Any) -> WidthsNode:
    values = {"search": "widths", "depth": {"low": 1, "high": 4}, "low": 16, "high": 128}
    return WidthsNode.model_validate({**values, **keys})


@st.composite
def nodes(draw: st.DrawFn) -> WidthsNode:
    low, width = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    extra = draw(st.integers(0, 4))
    shape = draw(st.sampled_from(["free", "constant", "tapering"]))
    spacing = draw(st.sampled_from([{}, {"step": 7}, {"spacing": "log"}, {"spacing": "log", "steps": 5}]))
    share_step = {"share_step": draw(st.sampled_from([None, 0.1, 0.3]))} if shape == "tapering" else {}
    return node(
        depth={"low": low, "high": low + extra} if extra else low,
        low=width,
        high=width + draw(st.integers(0, 200)),
        shape=shape,
        **spacing,
        **share_step,
    )


def allowed(composite: WidthsNode) -> list[int]:
    if composite.low == composite.high:
        return [composite.low]
    (width,) = {leaf.node for leaf in composite.leaves if leaf.name in ("width", "layer_1")}
    assert isinstance(width, IntNode | LogIntNode)
    return list(width.values) if isinstance(width, LogIntNode) else list(range(width.low, width.high + 1, width.step))


def drawn(composite: WidthsNode, data: st.DataObject) -> dict[str, Any]:
    """Chooses every leaf as a search does."""
    chosen: dict[str, Any] = {}
    for leaf in composite.leaves:
        if leaf.exists(chosen):
            if leaf.name.endswith("_share"):
                step = composite.share_step
                chosen[leaf.name] = data.draw(st.floats(0, 1) if step is None else st.integers(0, int(1 / step))) * (
                    step or 1.0
                )
            else:
                values = range(leaf.node.low, leaf.node.high + 1) if leaf.name == "depth" else allowed(composite)
                chosen[leaf.name] = data.draw(st.sampled_from(values))
    return chosen


@given(nodes(), st.data())
@settings(deadline=None)
def test_every_point_is_a_list_of_allowed_widths_of_the_shape(composite: WidthsNode, data: st.DataObject) -> None:
    chosen = drawn(composite, data)
    widths = composite.value(chosen)
    assert list(MlpFields.model_validate({"widths": widths}).widths) == widths
    assert len(widths) == chosen.get("depth", composite.depth)
    assert set(widths) <= set(allowed(composite))
    if composite.shape == "constant":
        assert len(set(widths)) == 1
    if composite.shape == "tapering":
        assert all(after <= before for before, after in pairwise(widths))


@given(nodes(), st.data())
@settings(deadline=None)
def test_widths_lead_back_to_leaves_that_give_them(composite: WidthsNode, data: st.DataObject) -> None:
    chosen = drawn(composite, data)
    widths = composite.value(chosen)
    again = composite.chosen(widths)
    assert again is not None
    assert composite.value(again) == widths
    assert list(again) == list(chosen)


@pytest.mark.parametrize("widths", [None, 3, [], ["8"], [8.0]])
def test_what_are_no_widths_leads_back_to_nothing(widths: Any) -> None:
    assert node().chosen(widths) is None


def test_a_width_exists_for_so_many_layers() -> None:
    found = {leaf.name: dict(leaf.requires) for leaf in node(step=16).leaves}
    assert found == {
        "depth": {},
        "layer_1": {},
        "layer_2": {"depth": (2, 3, 4)},
        "layer_3": {"depth": (3, 4)},
        "layer_4": {"depth": (4,)},
    }


def test_what_can_have_one_value_only_is_no_hyperparameter() -> None:
    assert [leaf.name for leaf in node(depth=2).leaves] == ["layer_1", "layer_2"]
    assert [leaf.name for leaf in node(low=32, high=32).leaves] == ["depth"]
    assert node(low=32, high=32).value({"depth": 3}) == [32, 32, 32]
    assert [leaf.name for leaf in node(shape="constant").leaves] == ["depth", "width"]
    assert [leaf.name for leaf in node(depth=2, shape="tapering").leaves] == ["layer_1", "layer_2_share"]


def test_logarithmic_widths_double_unless_told_how_many() -> None:
    assert allowed(node(spacing="log")) == [16, 32, 64, 128]
    assert allowed(node(spacing="log", steps=3)) == [16, 45, 128]
    assert allowed(node(low=1, high=3, spacing="log", steps=9)) == [1, 2, 3]


def test_a_tapering_layer_takes_a_share_of_the_widths_up_to_the_one_before() -> None:
    composite = node(depth=3, step=16, shape="tapering")
    given_shares = {"layer_1": 128, "layer_2_share": 0.5, "layer_3_share": 1.0}
    assert composite.value(given_shares) == [128, 80, 80]
    assert composite.value({**given_shares, "layer_3_share": 0.0}) == [128, 80, 16]


@given(nodes())
@settings(deadline=None)
def test_extremes_reach_every_end(composite: WidthsNode) -> None:
    found = [composite.value(each) for each in composite.extremes]
    assert len({tuple(widths) for widths in found}) == len(found)
    assert {width for widths in found for width in widths} == {min(allowed(composite)), max(allowed(composite))}
    depths = composite.depth.ends if not isinstance(composite.depth, int) else (composite.depth,)
    assert {len(widths) for widths in found} == set(depths)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"low": 200}, "low and high: low is 200 and high is 128"),
        ({"depth": 33}, "depth: is 33, but must be at most 32"),
        ({"depth": {"low": 1, "high": 10**9}}, "depth.high: is 1000000000, but must be at most 32"),
        ({"spacing": "log", "step": 2}, "step and spacing: step is for spacing: linear"),
        ({"steps": 4}, "steps and spacing: steps is for spacing: log"),
        ({"share_step": 0.5}, "share_step and shape: share_step is for shape: tapering"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        node(**keys)
