"""Which classes are taken for which, by the network that stands for the search and by its control."""

from collections.abc import Sequence

import plotly.graph_objects as go

from neurosearch.build.confusion import Matrix, Part
from neurosearch.report.exhibit import Exhibit
from neurosearch.report.markup import Content, element
from neurosearch.report.material import Material
from neurosearch.report.style import BLUE_SHADES, framed, plain
from neurosearch.report.table import Table
from neurosearch.search.seams import TrialSummary

_MOST_DRAWN = 40  # classes of a matrix that can be read
_MOST_LISTED = 25


def confusion_content(material: Material) -> Content:
    """Returns the matrix as a figure, or the most frequent confusions where there are too many classes for one."""
    trials = [each for each in (material.contender, material.control) if each is not None]
    kept = [(trial, material.confusions[trial.number]) for trial in trials if trial.number in material.confusions]
    manifest = material.manifest
    if not kept or manifest is None:
        return None
    part: Part = "test" if all("test" in matrices for _, matrices in kept) else "validation"
    chosen = [(trial, matrices[part]) for trial, matrices in kept if part in matrices]
    names = manifest.class_names
    if not chosen or any(len(matrix) != len(names) for _, matrix in chosen):
        return None
    listed = _listed(chosen, names, part)
    if len(names) > _MOST_DRAWN:
        return [element("h3", "Most frequent confusions"), listed.html()]
    return Exhibit(
        key="confusion",
        title=f"Which class is taken for which on the {part} part.",
        summary=f"Shares of each true class, one seed. {_summary(listed)}",
        figure=_figure(chosen, names),
        table=listed,
        views=tuple(_view(trial) for trial, _ in chosen),
    ).html()


def _figure(chosen: Sequence[tuple[TrialSummary, Matrix]], names: Sequence[str]) -> go.Figure:
    labels = [plain(name, 14) for name in names]
    drawn = go.Figure()
    for index, (_, matrix) in enumerate(chosen):
        drawn.add_trace(
            go.Heatmap(
                z=[_shares(row) for row in matrix],
                x=labels,
                y=labels,
                zmin=0,
                zmax=1,
                visible=index == 0,
                colorscale=BLUE_SHADES,
                showscale=False,
                xgap=1,
                ygap=1,
                hovertemplate="%{y} taken for %{x}: %{z:.0%}<extra></extra>",
            )
        )
    drawn.update_yaxes(autorange="reversed", title_text="true class", type="category", showgrid=False)
    drawn.update_xaxes(title_text="taken for", type="category", showgrid=False)
    return framed(drawn, max(18 * len(names) + 120, 360))


def _view(trial: TrialSummary) -> str:
    return f"trial {trial.number} ({'control' if trial.role == 'control' else trial.kind})"


def _shares(row: Sequence[int]) -> list[float]:
    total = sum(row)
    return [cell / total if total else 0.0 for cell in row]


def _listed(chosen: Sequence[tuple[TrialSummary, Matrix]], names: Sequence[str], part: Part) -> Table:
    """Returns the most frequent confusions of the first network, with the other's beside them."""
    first = chosen[0][1]
    pairs = [(row, column) for row in range(len(names)) for column in range(len(names)) if row != column]
    worst = sorted((each for each in pairs if first[each[0]][each[1]]), key=lambda each: -first[each[0]][each[1]])
    rows = []
    for row, column in worst[:_MOST_LISTED]:
        cells = (f"{matrix[row][column]} of {sum(matrix[row])}" for _, matrix in chosen)
        rows.append((names[row], names[column], *cells))
    columns = ("true class", "taken for", *(f"trial {trial.number}" for trial, _ in chosen))
    return Table(f"Most frequent confusions on the {part} part", columns, tuple(rows))


def _summary(listed: Table) -> str:
    if not listed.rows:
        return "No class is taken for another."
    row = listed.rows[0]
    return f"Most often {row[0]} is taken for {row[1]}: {row[2]}."
