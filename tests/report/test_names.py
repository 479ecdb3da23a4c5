"""Names that begin alike stay apart in every figure."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from neurosearch.report.classes import classes_exhibit
from neurosearch.report.confusions import confusion_exhibit
from neurosearch.report.exhibit import Exhibit
from neurosearch.report.influence import influence_exhibit
from neurosearch.report.layers import layers_exhibit
from neurosearch.report.material import Material, material_of
from neurosearch.search.influence import Influence, Influences
from tests.made_studies import MadeStudy, config_with

COMMON = "lepidoptera noctuidae"  # 21 characters


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A study of four classes whose names begin with the same 21 characters."""
    root: Path = tmp_path_factory.mktemp("alike")
    values = config_with(**{"search.trials": 3})
    made = MadeStudy(root, values, class_counts=(300, 200, 90, 60), class_word=COMMON).search(3)
    return material_of(made.confirm().done())


def test_classes_that_begin_alike_have_a_row_each(alike: Material) -> None:
    exhibit = classes_exhibit(alike)
    assert isinstance(exhibit, Exhibit)
    _, control, contender = exhibit.figure.data
    assert control.y == contender.y == (0, 1, 2, 3)
    assert [text.split(" (")[0] for text in contender.text] == [f"{COMMON} {index}" for index in range(4)]
    axis = exhibit.figure.layout.yaxis
    assert axis.tickvals == (0, 1, 2, 3)
    assert axis.ticktext[0] == "lepidoptera noctu\u2026 (300)"


def test_classes_that_begin_alike_have_a_row_and_a_column_each_in_the_matrix(alike: Material) -> None:
    exhibit = confusion_exhibit(alike)
    assert exhibit is not None
    for trace in exhibit.figure.data:
        assert (trace.x, trace.y) == (None, None), "cells stand at their numbers"
        assert [len(row) for row in trace.z] == [4] * 4
        told = [text for row in trace.text for text in row]
        assert told == [f"{COMMON} {true} taken for {COMMON} {taken}" for true, taken in product(range(4), repeat=2)]
    for axis in (exhibit.figure.layout.xaxis, exhibit.figure.layout.yaxis):
        assert axis.tickvals == (0, 1, 2, 3)
        assert set(axis.ticktext) == {"lepidoptera n\u2026"}


def test_layers_that_begin_alike_have_a_row_each(alike: Material) -> None:
    sizes = {f"neurons/{COMMON}.{index}": 8.0 + index for index in range(3)}
    records = tuple({"epoch": epoch, "metrics": sizes} for epoch in (1, 2))
    exhibit = layers_exhibit(replace(alike, layers=records))
    assert isinstance(exhibit, Exhibit)
    (trace,) = exhibit.figure.data
    assert trace.y is None, "rows stand at their numbers"
    assert [row[0] for row in trace.customdata] == [8.0, 9.0, 10.0]
    assert exhibit.figure.layout.yaxis.tickvals == (0, 1, 2)
    assert len(exhibit.figure.layout.yaxis.ticktext) == 3


def test_hyperparameters_that_end_alike_have_a_row_each(alike: Material) -> None:
    found = tuple(Influence(f"{part}.growth.share", 0.5, 0.4, 0.6, True) for part in ("first", "second"))
    alike = replace(alike)
    vars(alike)["influences"] = (Influences(alike.objectives[0], 20, 0.25, found),)
    exhibit = influence_exhibit(alike)
    assert isinstance(exhibit, Exhibit)
    (trace,) = exhibit.figure.data
    assert trace.y == (0, 1)
    assert exhibit.figure.layout.yaxis.ticktext == ("growth.share", "growth.share")
