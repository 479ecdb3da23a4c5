"""What the study cost: hours and multiply-adds, what they brought and when, and what was spent in vain."""

from collections import Counter
from collections.abc import Iterator, Sequence

import plotly.graph_objects as go

from neurosearch import names
from neurosearch.names import OBJECTIVES
from neurosearch.numbers import figure
from neurosearch.report.exhibit import Exhibit, Missing, Section
from neurosearch.report.markup import element
from neurosearch.report.material import Material
from neurosearch.report.numbers import amount, plural, title, value_words
from neurosearch.report.style import BLUE, framed
from neurosearch.report.table import Table
from neurosearch.search.seams import TrialSummary
from neurosearch.search.words import duration, role_words

_HEIGHT = 360
_MOST_REASONS = 20
_UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def cost_section(material: Material) -> Section:
    """Returns the section."""
    exhibit = course_exhibit(material)
    failures = _failures(material)
    content = [
        element("p", _words(material)),
        _spending(material).html() if material.trials else None,
        exhibit.html(),
        failures.html() if failures.rows else None,
    ]
    return Section("cost", "Cost", content)


def course_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: the best so far, or with several objectives the hypervolume, over time."""
    course = list(_course(material))
    if not course:
        return Missing("No trial of the search has ended within the limits yet, so there is no course to draw.")
    metric = _measured(material)
    unit, seconds = _unit(course[-1][1])
    course = [(number, time / seconds, value) for number, time, value in course]
    rows = tuple((str(number), figure(time, 1), value_words("", value)) for number, time, value in course)
    return Exhibit(
        key="course",
        title=f"{metric.capitalize()} over the {unit} of the study.",
        summary=f"From {value_words('', course[0][2])} with the first network to {value_words('', course[-1][2])}.",
        figure=_figure(course, metric, unit),
        table=Table("What was reached by the end of each trial", ("trial", f"{unit} since the start", metric), rows),
    )


def _measured(material: Material) -> str:
    return "hypervolume" if len(material.objectives) > 1 else f"best {title(material.objectives[0].metric)} so far"


def _course(material: Material) -> Iterator[tuple[int, float, float]]:
    """Yields trial, seconds from the first trial's start to its end, and what was reached by then."""
    if len(material.objectives) > 1:
        yield from ((each.trial, each.seconds, each.hypervolume) for each in material.reached.history)
        return
    rises = OBJECTIVES[material.objectives[0].metric] == "maximize"
    start = min((each.started for each in material.trials), default=0.0)
    ended = [each for each in material.trials if each.role == "search" and each.state == "finished"]
    best: float | None = None
    for trial in sorted(ended, key=lambda each: (each.ended or 0.0, each.number)):
        value = trial.values[0]
        best = value if best is None else (max if rises else min)(best, value)
        yield trial.number, (trial.ended or start) - start, best


def _unit(seconds: float) -> tuple[str, float]:
    """Returns in what a course of so many seconds is told, and how many seconds one of it has."""
    return next((each for each in _UNITS if seconds >= 2 * each[1]), _UNITS[-1])


def _figure(course: Sequence[tuple[int, float, float]], metric: str, unit: str) -> go.Figure:
    drawn = go.Figure(
        go.Scatter(
            x=[time for _, time, _ in course],
            y=[value for *_, value in course],
            mode="lines+markers",
            line={"shape": "hv", "color": BLUE, "width": 2},
            marker={"size": 5, "color": BLUE},
            text=[f"trial {number}" for number, *_ in course],
            hovertemplate="%{text}<br>%{y:.4g} after %{x:.3g} " + unit + "<extra></extra>",
            showlegend=False,
        )
    )
    drawn.update_xaxes(title_text=f"{unit} since the start", rangemode="tozero")
    drawn.update_yaxes(title_text=metric)
    return framed(drawn, _HEIGHT)


def _words(material: Material) -> str:
    seconds = sum(each.seconds or 0.0 for each in material.trials)
    devices = material.fields.search.devices_per_trial
    unit = "GPU" if material.fields.search.gpus_per_trial else "core"
    each = f"{devices:g} {unit}{'' if devices == 1 else 's'}"
    most = "at most " if material.fields.search.gpus_per_trial == "auto" else ""  # each had a share of its own
    return (
        f"The study was searched for {duration(material.seconds_used)}. Its trials took {duration(seconds)} together, "
        f"which is {most}{seconds * devices / 3600:.2f} {unit} hours, with {most}{each} each. "
        "Multiply-adds are those of training: three forward passes for each step."
    )


def _spending(material: Material) -> Table:
    rows = []
    for what, chosen in _groups(material.trials):
        if chosen:
            adds = sum(
                each.metrics.get(names.TRAINING_MULTIPLY_ADDS, 0.0) * max(len(each.per_seed), 1) for each in chosen
            )
            epochs = sum(each.epochs for each in chosen)
            took = duration(sum(each.seconds or 0.0 for each in chosen))
            rows.append((what, f"{len(chosen):,}", f"{epochs:,}", took, amount(adds) if adds else "-"))
    columns = ("trials", "number", "epochs", "time", "multiply-adds")
    return Table("What trials took, by why they ran and how they ended", columns, tuple(rows))


def _groups(trials: Sequence[TrialSummary]) -> Iterator[tuple[str, list[TrialSummary]]]:
    words = {
        "finished": "searched, finished",
        "infeasible": "searched, beyond a bound",
        "stopped": "searched, stopped early",
        "failed": "searched, failed",
        "running": "searched, without an end",
    }
    for state, text in words.items():
        yield text, [each for each in trials if each.role == "search" and each.state == state]
    for role in dict.fromkeys(each.role for each in trials if each.role != "search"):
        yield role_words(role), [each for each in trials if each.role == role]


def _failures(material: Material) -> Table:
    """Returns why trials failed, the most frequent reason first."""
    failed = [each for each in material.trials if each.state == "failed"]
    found = Counter(each.reason or "no reason was told" for each in failed)
    rows = []
    for reason, count in found.most_common(_MOST_REASONS):
        first = next(each.number for each in failed if (each.reason or "no reason was told") == reason)
        rows.append((reason, str(count), f"{material.folder.command('logs')} --trial {first}"))
    columns = ("reason", "trials", "where to look")
    return Table(f"Why {plural(len(failed), 'trial')} failed", columns, tuple(rows))
