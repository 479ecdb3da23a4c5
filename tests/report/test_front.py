import math
from pathlib import Path

import pytest

from neurosearch.report.exhibit import Exhibit
from neurosearch.report.front import front_exhibit
from neurosearch.report.material import material_of
from tests.made_studies import TWO_OBJECTIVES, MadeStudy, config_with


@pytest.mark.parametrize(
    ("widths", "axis", "place"),
    [([[2, 2], [200, 200]], "log", math.log10(6000)), ([[24, 24], [32, 32]], "linear", 6000)],
    ids=["logarithmic", "linear"],
)
def test_the_limit_and_its_name_stand_at_the_same_size(
    widths: list[list[int]], axis: str, place: float, tmp_path: Path
) -> None:
    changes = {"search.trials": 6, "search.objectives": list(TWO_OBJECTIVES), "model.widths.options": widths}
    exhibit = front_exhibit(material_of(MadeStudy(tmp_path, config_with(**changes)).search(6).done()))
    assert isinstance(exhibit, Exhibit)
    layout = exhibit.figure.layout
    (line,), (name,) = layout.shapes, layout.annotations
    assert layout.xaxis.type == axis
    assert (line.x0, line.x1) == (6000, 6000), "a line's place is a value on any axis"
    assert (name.text, name.x, name.xref) == ("limit", place, "x"), "a text's place is an exponent on a logarithmic one"


@pytest.mark.parametrize("first", ["balanced_accuracy", "validation_loss"])
def test_between_two_networks_the_fronts_line_shows_what_the_smaller_one_reached(first: str, tmp_path: Path) -> None:
    direction = "maximize" if first == "balanced_accuracy" else "minimize"
    objectives = [{"metric": first, "direction": direction}, {"metric": "parameters", "direction": "minimize"}]
    changes = {"search.trials": 6, "search.objectives": objectives}
    exhibit = front_exhibit(material_of(MadeStudy(tmp_path, config_with(**changes)).search(6).done()))
    assert isinstance(exhibit, Exhibit)
    (line,) = (each for each in exhibit.figure.data if each.name == "front")
    assert list(line.x) == sorted(line.x, reverse=True), "the best, and so the largest, comes first"
    assert line.line.shape == "vh", "down or up at the larger one, then across to the smaller one"
