"""Where the chosen network grew and shrank: the neurons of each of its layers, epoch by epoch."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from neurosearch.names import NEURONS_PREFIX
from neurosearch.report.exhibit import Exhibit, Missing
from neurosearch.report.material import Material
from neurosearch.report.numbers import plural
from neurosearch.report.style import BLUE_SHADES, framed, rows_of
from neurosearch.report.table import Table

_MOST_EPOCHS = 200


def layers_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: a row for each group of neurons, the darker the nearer it is to its largest size."""
    best = material.best
    if best is None:
        return Missing("No network within the limits has ended yet, so no layers can be shown.")
    if not material.layers:
        return Missing("The epochs of the best network are not here, so its layers cannot be shown.")
    sizes = _sizes([record["metrics"] for record in material.layers])
    if not sizes:
        return Missing("The best network has no layer whose neurons could be counted.")
    changing = sum(len(set(each)) > 1 for each in sizes.values())
    return Exhibit(
        key="layers",
        title=f"Neurons in each layer of trial {best.number}.",
        summary=f"{changing} of {plural(len(sizes), 'layer')} changed. A row is darkest where its layer was largest.",
        figure=_figure(sizes, [record["epoch"] for record in material.layers]),
        table=_table(sizes),
    )


def _sizes(metrics: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    groups = [name for name in metrics[0] if name.startswith(NEURONS_PREFIX)]
    kept = [name for name in groups if all(name in each for each in metrics)]
    return {name.removeprefix(NEURONS_PREFIX): [each[name] for each in metrics] for name in kept}


def _figure(sizes: Mapping[str, Sequence[float]], epochs: Sequence[int]) -> go.Figure:
    """Draws the sizes of some epochs, the last one among them, where there are more than can be told apart."""
    step = -(-len(epochs) // _MOST_EPOCHS)
    drawn_epochs = sorted({*range(0, len(epochs), step), len(epochs) - 1})
    drawn = go.Figure(
        go.Heatmap(
            z=[[values[index] / max(*values, 1.0) for index in drawn_epochs] for values in sizes.values()],
            x=[epochs[index] for index in drawn_epochs],
            customdata=[[values[index] for index in drawn_epochs] for values in sizes.values()],
            zmin=0,
            zmax=1,
            colorscale=BLUE_SHADES,
            showscale=False,
            ygap=2,
            hovertemplate="%{y}<br>epoch %{x}: %{customdata:.0f} neurons<extra></extra>",
        )
    )
    drawn.update_yaxes(showgrid=False, **rows_of(list(sizes), 20))
    drawn.update_xaxes(title_text="epoch", showgrid=False)
    return framed(drawn, 24 * len(sizes) + 110)


def _table(sizes: Mapping[str, Sequence[float]]) -> Table:
    rows = [
        (name, *(f"{value:,.0f}" for value in (values[0], min(values), max(values), values[-1])))
        for name, values in sizes.items()
    ]
    columns = ("layer", "after the first epoch", "fewest", "most", "after the last epoch")
    return Table("Neurons of each layer", columns, tuple(rows))
