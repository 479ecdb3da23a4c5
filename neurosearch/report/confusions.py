"""Which classes are taken for which, by the network that stands for the search and by its control."""

from collections.abc import Sequence

import plotly.graph_objects as go

from neurosearch.build.confusion import Matrix, Part
from neurosearch.report.exhibit import Exhibit
from neurosearch.report.markup import Content, element
from neurosearch.report.material import Material
from neurosearch.report.style import BLUE_SHADES, framed, places, plain, rows_of
from neurosearch.report.table import Table
from neurosearch.search.seams import TrialSummary

_MOST_DRAWN = 40  # classes of a matrix that can be read
_MOST_LISTED = 25
_SHORT, _LONGEST = 14, 60  # characters of a class's name beside the matrix and under the pointer


def confusion_content(material: Material) -> Content:
    """Returns the matrix as a figure, or the most frequent confusions where there are too many classes for one."""
    found = _found(material)
    if found is None:
        return None
    exhibit = confusion_exhibit(material)
    return [element("h3", "Most frequent confusions"), _listed(*found).html()] if exhibit is None else exhibit.html()


def confusion_exhibit(material: Material) -> Exhibit | None:
    """Returns the figure; None without matrices, or where they are too large to be read."""
    found = _found(material)
    if found is None or len(found[1]) > _MOST_DRAWN:
        return None
    chosen, names, part = found
    listed = _listed(chosen, names, part)
    return Exhibit(
        key="confusion",
        title=f"Which class is taken for which on the {part} part.",
        summary=f"Shares of each true class, one seed. {_summary(listed)}",
        figure=_figure(chosen, names),
        table=listed,
        views=tuple(_view(trial) for trial, _ in chosen),
    )


def _found(material: Material) -> tuple[list[tuple[TrialSummary, Matrix]], Sequence[str], Part] | None:
    """Returns the matrices of the contender and of the control on one part, with the classes' names."""
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
    return chosen, names, part


def _figure(chosen: Sequence[tuple[TrialSummary, Matrix]], names: Sequence[str]) -> go.Figure:
    whole = [plain(name, _LONGEST) for name in names]
    drawn = go.Figure()
    for index, (_, matrix) in enumerate(chosen):
        drawn.add_trace(
            go.Heatmap(
                z=[_shares(row) for row in matrix],
                text=[[f"{true} taken for {taken}" for taken in whole] for true in whole],
                zmin=0,
                zmax=1,
                visible=index == 0,
                colorscale=BLUE_SHADES,
                showscale=False,
                xgap=1,
                ygap=1,
                hovertemplate="%{text}: %{z:.0%}<extra></extra>",
            )
        )
    drawn.update_yaxes(title_text="true class", showgrid=False, **rows_of(names, _SHORT))
    drawn.update_xaxes(title_text="taken for", showgrid=False, **places(names, _SHORT))
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
