from pathlib import Path

import plotly.graph_objects as go
import pytest

from neurosearch.report import figures
from neurosearch.search.stored import StoredStudy
from tests.made_studies import MadeStudy

FIGURES = (
    figures.pareto_figure,
    figures.trajectory_figure,
    figures.layers_figure,
    figures.influence_figure,
    figures.classes_figure,
    figures.seeds_figure,
    figures.course_figure,
)


@pytest.mark.parametrize("make", FIGURES, ids=[each.__name__ for each in FIGURES])
def test_a_figure_of_a_study_is_a_plotly_figure_with_data(make: figures.Make, whole: StoredStudy) -> None:
    figure = make(whole)
    assert isinstance(figure, go.Figure)
    assert len(figure.data) > 0


def test_what_cannot_be_shown_yet_stands_as_words_in_the_figure_s_place(tmp_path: Path) -> None:
    study = MadeStudy(tmp_path).done()
    for make in FIGURES:
        (words,) = make(study).layout.annotations
        assert words.text
