"""What mattered: which hyperparameters the best trials owe their scores to, and how sure that is."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurosearch.report.exhibit import Exhibit, Missing, Section
from neurosearch.report.markup import element
from neurosearch.report.material import Material
from neurosearch.report.numbers import plural, title
from neurosearch.report.style import BLUE, GREY, framed, plain, rows_of
from neurosearch.report.table import Table
from neurosearch.search.influence import FEWEST_TRIALS, Influence, Influences

_MOST = 10  # hyperparameters drawn for each objective; the table has all
_ROW_HEIGHT, _HEAD_HEIGHT = 26, 64


def influence_section(material: Material) -> Section:
    """Returns the section."""
    exhibit = influence_exhibit(material)
    content = exhibit.html() if isinstance(exhibit, Missing) else [element("p", _words(material)), exhibit.html()]
    return Section("influence", "What mattered", content)


def influence_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: the share of each hyperparameter, one panel for each objective."""
    if not material.influences:
        ended = sum(each.role == "search" and each.state in ("finished", "infeasible") for each in material.trials)
        return Missing(
            f"{plural(ended, 'trial')} of the search ended with a network and hyperparameters of its own; below "
            f"{FEWEST_TRIALS} nothing can be said about what mattered."
        )
    return Exhibit(
        key="influence",
        title="Share of each hyperparameter in what tells the best trials from all.",
        summary=_summary(material.influences),
        figure=_figure(material.influences),
        table=_table(material.influences),
    )


def _words(material: Material) -> str:
    first = material.influences[0]
    return (
        f"By PED-ANOVA on {plural(first.num_trials, 'finished trial')} of the search: how far the values of a "
        f"hyperparameter among the best {100 * first.best_share:.0f} % differ from those among all, as a share of the "
        "sum over all hyperparameters. Lines are 90 % intervals over trials drawn anew (bootstrap). Hollow dots are "
        "no more than what chance shows when the results are dealt to the trials anew. It says what the sampler's "
        "own trials tell, not what causes what; effects that need two hyperparameters at once are not seen."
    )


def _summary(influences: Sequence[Influences]) -> str:
    return " ".join(_summary_of(each) for each in influences)


def _summary_of(each: Influences) -> str:
    clear = [found.name for found in each.found if found.beyond_chance][:3]
    if not clear:
        return f"For {title(each.objective.metric)} no hyperparameter stands out from chance."
    return f"For {title(each.objective.metric)}, beyond chance: {', '.join(clear)}."


def _figure(influences: Sequence[Influences]) -> go.Figure:
    counts = [min(len(each.found), _MOST) for each in influences]
    height = sum(counts) * _ROW_HEIGHT + len(counts) * _HEAD_HEIGHT
    figure = make_subplots(
        rows=len(influences),
        cols=1,
        row_heights=[float(count) for count in counts],
        vertical_spacing=_HEAD_HEIGHT / height if len(counts) > 1 else 0,
        shared_xaxes=True,
        subplot_titles=[title(each.objective.metric) for each in influences],
    )
    for row, each in enumerate(influences, start=1):
        figure.add_trace(_dots(each.found[:_MOST]), row=row, col=1)
        figure.update_yaxes(**rows_of([_short(found.name) for found in each.found[:_MOST]], 24), row=row, col=1)
        figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", showticklabels=True, row=row, col=1)
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    return framed(figure, height, showlegend=False)


def _dots(found: Sequence[Influence]) -> go.Scatter:
    colours = [BLUE if each.beyond_chance else GREY for each in found]
    return go.Scatter(
        x=[each.share for each in found],
        y=list(range(len(found))),
        mode="markers",
        marker={
            "size": 10,
            "color": colours,
            "symbol": ["circle" if each.beyond_chance else "circle-open" for each in found],
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(each.high - each.share, 0.0) for each in found],
            "arrayminus": [max(each.share - each.low, 0.0) for each in found],
            "color": GREY,
            "thickness": 1.5,
            "width": 3,
        },
        text=[plain(each.name, 60) for each in found],
        hovertemplate="%{text}<br>%{x:.0%}<extra></extra>",
    )


def _short(name: str) -> str:
    """Returns the end of a hyperparameter's name, as far as a phone has room for it."""
    return ".".join(name.split(".")[-2:])


def _table(influences: Sequence[Influences]) -> Table:
    rows = [
        (
            found.name,
            title(each.objective.metric),
            f"{100 * found.share:.0f} %",
            f"{100 * found.low:.0f} to {100 * found.high:.0f} %",
            "yes" if found.beyond_chance else "no",
        )
        for each in influences
        for found in each.found
    ]
    columns = ("hyperparameter", "objective", "share", "90 % interval", "beyond chance")
    return Table("Influence of each hyperparameter on each objective", columns, tuple(rows))
