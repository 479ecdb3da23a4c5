"""The front: what each size can reach, and which network was chosen."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurosearch import names
from neurosearch.config.search import ARMS, Direction
from neurosearch.report.exhibit import Exhibit, Missing, Section
from neurosearch.report.markup import element
from neurosearch.report.material import Material
from neurosearch.report.numbers import plural, title, value_words
from neurosearch.report.style import CONTENDER, GREY, framed, kind_colours, plain
from neurosearch.report.table import Table
from neurosearch.search.front import pareto_front
from neurosearch.search.seams import TrialSummary
from neurosearch.search.words import role_words

_PANEL_HEIGHT, _MORE_HEIGHT = 420, 300
_WIDE = 20.0  # times from the smallest to the largest size, from which on a logarithmic axis shows more
_SYMBOLS = {"search": "circle", "finalist": "diamond", "control": "square"}
_ROLES = {"search": "", "finalist": " finalist", "control": " control"}


@dataclass(frozen=True)
class _Point:
    """A network that was trained to its end, or an epoch of one that stands on the front."""

    trial: TrialSummary
    epoch: int | None
    values: tuple[float, ...]
    is_within: bool


def front_section(material: Material) -> Section:
    """Returns the section."""
    exhibit = front_exhibit(material)
    if isinstance(exhibit, Missing):
        return Section("front", "The front", exhibit.html())
    return Section("front", "The front", [element("p", _words(material)), exhibit.html()])


def front_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: the first objective against each other one, or against the size where there is one alone."""
    axes = _axes(material)
    points = list(_points(material, [metric for metric, _ in axes]))
    if not points:
        return Missing("No trial has ended with a network yet, so there is nothing to set side by side.")
    on_front = _on_front(points, [direction for _, direction in axes])
    return Exhibit(
        key="front",
        title=f"{title(axes[0][0]).capitalize()} against {' and '.join(title(metric) for metric, _ in axes[1:])}.",
        summary=_summary(points, on_front, material),
        figure=_figure(material, axes, points, on_front),
        table=_table(axes, points, on_front, material.best),
    )


def _axes(material: Material) -> list[tuple[str, Direction]]:
    """Returns what is drawn, the first objective first; beside a single one a size."""
    chosen = [(each.metric, each.direction) for each in material.objectives]
    if len(chosen) > 1:
        return chosen
    size = next(each for each in (material.size_metric, *names.SIZES) if each != chosen[0][0])
    return [*chosen, (size, "minimize")]


def _points(material: Material, metrics: Sequence[str]) -> Iterator[_Point]:
    for trial in material.trials:
        if trial.state in ("finished", "infeasible") and trial.role not in ARMS:
            values = tuple(trial.metrics[metric] for metric in metrics if metric in trial.metrics)
            if len(values) == len(metrics):
                yield _Point(trial, None, values, trial.state == "finished")
    if len(material.objectives) > 1:
        epochs = (each for each in material.reached.front if each.epoch is not None)
        yield from (_Point(material.trial(each.trial), each.epoch, each.values, True) for each in epochs)


def _on_front(points: Sequence[_Point], directions: Sequence[Direction]) -> tuple[int, ...]:
    return pareto_front(
        [each.values for each in points], directions, [0.0 if each.is_within else 1.0 for each in points]
    )


def _figure(
    material: Material, axes: Sequence[tuple[str, Direction]], points: Sequence[_Point], on_front: Sequence[int]
) -> go.Figure:
    across = axes[1:]
    figure = make_subplots(rows=len(across), cols=1, vertical_spacing=0.3 / len(across) if len(across) > 1 else 0)
    for row, (metric, _) in enumerate(across, start=1):
        for trace in _traces(material, points, on_front, row, [name for name, _ in axes]):
            figure.add_trace(trace, row=row, col=1)
        column = [each.values[row] for each in points]
        is_log = metric in names.SIZES and min(column) > 0 and max(column) > _WIDE * min(column)
        figure.update_xaxes(title_text=title(metric), type="log" if is_log else "linear", row=row, col=1)
        figure.update_yaxes(title_text=title(axes[0][0]), row=row, col=1)
        limit = material.fields.size_limit
        if limit is not None and limit.metric == metric:
            # Plotly takes a line's place in the axis's values, a text's on a logarithmic one as their exponent.
            figure.add_vline(x=limit.maximum, line={"dash": "dot", "width": 1.5, "color": GREY}, row=row, col=1)
            at = math.log10(limit.maximum) if is_log else limit.maximum
            figure.add_annotation(
                text="limit", x=at, y=1, yref="y domain", xanchor="left", yanchor="top", showarrow=False, row=row, col=1
            )
    height = _PANEL_HEIGHT + _MORE_HEIGHT * (len(across) - 1)
    return framed(figure, height, hovermode="closest")


def _traces(
    material: Material, points: Sequence[_Point], on_front: Sequence[int], row: int, metrics: Sequence[str]
) -> Iterator[go.Scatter]:
    """Yields what one panel shows: the front's line, the points by growth and role, the chosen one."""
    colours = kind_colours(each.trial.kind for each in points)
    if len(metrics) == 2:
        line = [points[index] for index in on_front]
        yield go.Scatter(
            x=[each.values[1] for each in line],
            y=[each.values[0] for each in line],
            mode="lines",
            # From the best of the first down: between two networks only the worse of each value is reached.
            line={"shape": "vh", "width": 1.5, "dash": "dash", "color": CONTENDER},
            name="front",
            hoverinfo="skip",
        )
    for role, symbol in _SYMBOLS.items():
        for kind, colour in colours.items():
            chosen = [each for each in points if each.trial.role == role and each.trial.kind == kind]
            if chosen:
                yield _scatter(chosen, row, metrics, colour, symbol, f"{plain(kind)}{_ROLES[role]}")
    winner = [each for each in points if material.best and each.trial == material.best and each.epoch is None]
    if winner:
        trace = _scatter(winner, row, metrics, CONTENDER, "star", "chosen")
        yield trace.update(marker={"size": 18, "line": {"width": 1.5, "color": "#ffffff"}})


def _scatter(
    points: Sequence[_Point], row: int, metrics: Sequence[str], colour: str, symbol: str, name: str
) -> go.Scatter:
    return go.Scatter(
        x=[each.values[row] for each in points],
        y=[each.values[0] for each in points],
        mode="markers",
        marker={
            "color": colour,
            "size": 8 if symbol == "circle" else 11,
            "symbol": [symbol if each.is_within else f"{symbol}-open" for each in points],
            "opacity": 0.75 if symbol == "circle" else 1.0,
        },
        name=name,
        legendgroup=name,
        showlegend=row == 1,
        text=[_hover(each, metrics) for each in points],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(point: _Point, metrics: Sequence[str]) -> str:
    epoch = "" if point.epoch is None else f" after epoch {point.epoch}"
    head = f"trial {point.trial.number}{epoch}, {plain(point.trial.kind)}, {role_words(point.trial.role)}"
    values = (f"{title(each)} {value_words(each, value)}" for each, value in zip(metrics, point.values, strict=True))
    beyond = () if point.is_within else ("beyond a bound",)
    return "<br>".join((head, *values, *beyond))


def _table(
    axes: Sequence[tuple[str, Direction]],
    points: Sequence[_Point],
    on_front: Sequence[int],
    best: TrialSummary | None,
) -> Table:
    order = (*on_front, *(index for index in range(len(points)) if index not in set(on_front)))
    rows = []
    for index in order:
        each = points[index]
        place = "on the front" if index in on_front else "" if each.is_within else "beyond a bound"
        chosen = "chosen" if best is not None and each.trial == best and each.epoch is None else ""
        rows.append(
            (
                f"{each.trial.number}" if each.epoch is None else f"{each.trial.number}, epoch {each.epoch}",
                each.trial.kind,
                role_words(each.trial.role),
                *(value_words(metric, value) for (metric, _), value in zip(axes, each.values, strict=True)),
                ", ".join(filter(None, (chosen, place))),
            )
        )
    columns = ("trial", "growth", "role", *(title(metric) for metric, _ in axes), "place")
    marked = frozenset(row for row, cells in enumerate(rows) if "chosen" in cells[-1])
    return Table("Networks within and beyond the bounds, those of the front first", columns, tuple(rows), marked)


def _summary(points: Sequence[_Point], on_front: Sequence[int], material: Material) -> str:
    chosen = "" if material.best is None else f" The star is trial {material.best.number}, which was chosen."
    return (
        f"{plural(len(points), 'network')}, of which {len(on_front)} are on the front: no other is at least as good in "
        f"all that is drawn and better in something. Hollow ones are beyond a bound.{chosen}"
    )


def _words(material: Material) -> str:
    if len(material.objectives) == 1:
        return (
            f"The study optimised {title(material.objectives[0].metric)} alone; the line shows what each size reached "
            "on the way."
        )
    share = f"{100 * material.reached.hypervolume:.1f} %"
    return (
        f"{plural(len(material.reached.front), 'network')} of the study dominate {share} of the box between the ideal "
        f"and the worst that counts (the hypervolume). {_luck(material)}"
    )


def _luck(material: Material) -> str:
    if material.confirmed:
        return (
            "What was trained on fresh seeds, finalists and control, shows means over them, which no search chose; the "
            "others are in part lucky."
        )
    return "Nothing here was trained on fresh seeds, so what looks best is in part lucky."
