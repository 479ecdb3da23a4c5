"""The report's figures one by one, for notebooks: each is a function from a study to a Plotly figure.

What a study cannot show yet stands as words in the figure's place.
"""

from collections.abc import Callable

import plotly.graph_objects as go

from neurosearch.report.classes import classes_exhibit
from neurosearch.report.cost import course_exhibit
from neurosearch.report.exhibit import Exhibit, Missing
from neurosearch.report.front import front_exhibit
from neurosearch.report.influence import influence_exhibit
from neurosearch.report.layers import layers_exhibit
from neurosearch.report.material import Material, material_of
from neurosearch.report.seeds import seeds_exhibit
from neurosearch.report.trajectories import trajectories_exhibit
from neurosearch.search.stored import StoredStudy

Make = Callable[[StoredStudy], go.Figure]


def pareto_figure(study: StoredStudy) -> go.Figure:
    """Returns what each size can reach, with the front and the network that was chosen."""
    return _figure(study, front_exhibit)


def trajectory_figure(study: StoredStudy) -> go.Figure:
    """Returns how networks grew and shrank while they trained, beside their scores."""
    return _figure(study, trajectories_exhibit)


def layers_figure(study: StoredStudy) -> go.Figure:
    """Returns the neurons of each layer of the chosen network, epoch by epoch."""
    return _figure(study, layers_exhibit)


def influence_figure(study: StoredStudy) -> go.Figure:
    """Returns which hyperparameters mattered for each objective, with intervals."""
    return _figure(study, influence_exhibit)


def classes_figure(study: StoredStudy) -> go.Figure:
    """Returns the scores of single classes or quantities beside the control's."""
    return _figure(study, classes_exhibit)


def seeds_figure(study: StoredStudy) -> go.Figure:
    """Returns the first objective on each fresh seed, with means and intervals."""
    return _figure(study, seeds_exhibit)


def course_figure(study: StoredStudy) -> go.Figure:
    """Returns what was reached by when: the best so far, or with several objectives the hypervolume."""
    return _figure(study, course_exhibit)


def _figure(study: StoredStudy, make: Callable[[Material], Exhibit | Missing]) -> go.Figure:
    return make(material_of(study)).figure
