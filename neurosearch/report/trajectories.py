"""How networks grew and shrank while they trained, beside what they scored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurosearch import names
from neurosearch.report.exhibit import Exhibit, Missing, Section
from neurosearch.report.layers import layers_exhibit
from neurosearch.report.markup import element
from neurosearch.report.material import Material
from neurosearch.report.numbers import plural, title, value_words
from neurosearch.report.style import COLOURS, GREY, framed, plain
from neurosearch.report.table import Table
from neurosearch.search.reports import StoredReport
from neurosearch.search.seams import TrialSummary
from neurosearch.search.words import role_words

_MOST_EPOCHS = 150  # of one course; more are closer than a pixel or two
_MOST_CHANGES = 150  # of one course that are marked; a network may change in every epoch
_VISIBLE = 2
_HEIGHT = 520


#: An epoch that changed the network: with neurons added and removed, and the policy's reasons.
_Change = tuple[StoredReport, int, int, str]


@dataclass(frozen=True)
class _Course:
    """A trial's training on its first seed.

    Attributes:
        trial: The trial.
        reports: All of its epochs.
        epochs: Those that are shown.
    """

    trial: TrialSummary
    reports: tuple[StoredReport, ...]
    epochs: tuple[StoredReport, ...]

    @property
    def name(self) -> str:
        return f"trial {self.trial.number}, {self.trial.kind}, {role_words(self.trial.role)}"

    @property
    def label(self) -> str:
        role = "" if self.trial.role == "search" else f" {self.trial.role}"
        return plain(f"{self.trial.number} {self.trial.kind}{role}", 22)

    @property
    def changes(self) -> list[_Change]:
        """All epochs that changed the network."""
        return list(_changes(self.reports))

    @property
    def shown_changes(self) -> list[_Change]:
        """Those of them that are shown."""
        return list(_changes(self.epochs))

    @property
    def left_out(self) -> str:
        """How many changes are not shown, in words; empty where all are."""
        changes, shown = len(self.changes), len(self.shown_changes)
        return f"of trial {self.trial.number} {shown:,} of {changes:,} epochs" if shown < changes else ""


def trajectories_section(material: Material) -> Section:
    """Returns the section."""
    exhibit = trajectories_exhibit(material)
    words = (
        "Each line is one training, on the first seed of its trial. Triangles that point up mark epochs in which "
        "neurons came, those that point down epochs in which neurons went. A click on a name shows or hides a trial."
    )
    if isinstance(exhibit, Missing):
        return Section("trajectories", "How networks grew and shrank", exhibit.html())
    content = [element("p", words), exhibit.html(), layers_exhibit(material).html()]
    return Section("trajectories", "How networks grew and shrank", content)


def trajectories_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: sizes above, scores below."""
    courses = [_course(each, material.reports[each.number]) for each in material.shown]
    courses = [each for each in courses if each.epochs]
    if not courses:
        return Missing("No trial has ended an epoch yet.")
    score = _score_index(material)
    return Exhibit(
        key="trajectories",
        title=f"{title(material.size_metric).capitalize()} and scores, epoch by epoch.",
        summary=_summary(courses),
        figure=_figure(material, courses, score),
        table=_table(material, courses, score),
    )


def _score_index(material: Material) -> int | None:
    """Returns which objective is a score; None where all are sizes or times."""
    sizes = (*names.SIZES, names.LATENCY_SECONDS)
    return next((i for i, each in enumerate(material.objectives) if each.metric not in sizes), None)


def _course(trial: TrialSummary, reports: tuple[StoredReport, ...]) -> _Course:
    """Returns a course that shows some of the epochs where they are many: the ends, and what changed the network."""
    changed = [index for index, each in enumerate(reports) if each.events]
    shown = {*_spread(range(len(reports)), _MOST_EPOCHS), *_spread(changed, _MOST_CHANGES)}
    return _Course(trial, reports, tuple(reports[index] for index in sorted(shown)))


def _spread(indices: Sequence[int], most: int) -> Iterator[int]:
    """Yields indices that are evenly spread, the first and the last among them: at most so many."""
    last = len(indices) - 1
    if last < most:
        yield from indices
        return
    yield from (indices[round(place * last / (most - 1))] for place in range(most))


def _changes(reports: Sequence[StoredReport]) -> Iterator[_Change]:
    for each in reports:
        added, removed = (sum(event[what] for event in each.events) for what in ("added", "removed"))
        if added or removed:
            yield each, added, removed, "; ".join(dict.fromkeys(str(event["reason"]) for event in each.events))


def _figure(material: Material, courses: Sequence[_Course], score: int | None) -> go.Figure:
    figure = make_subplots(rows=1 if score is None else 2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for index, course in enumerate(courses):
        common = {
            "legendgroup": str(course.trial.number),
            "name": course.label,
            "visible": True if index < _VISIBLE else "legendonly",
        }
        colour = COLOURS[index % len(COLOURS)]
        line = {"color": colour, "width": 2.2 if index < _VISIBLE else 1.4}
        epochs = [each.epoch for each in course.epochs]
        figure.add_trace(
            go.Scatter(x=epochs, y=[each.size for each in course.epochs], mode="lines", line=line, **common),
            row=1,
            col=1,
        )
        for trace in _markers(course, colour):
            figure.add_trace(trace.update(showlegend=False, **common), row=1, col=1)
        if score is not None:
            values = [each.report.values[score] for each in course.epochs]
            figure.add_trace(
                go.Scatter(x=epochs, y=values, mode="lines", line=line, showlegend=False, **common), row=2, col=1
            )
    limit = material.fields.size_limit
    if limit is not None:
        figure.add_hline(
            y=limit.maximum, line={"dash": "dot", "width": 1.5, "color": GREY}, annotation_text="limit", row=1, col=1
        )
    figure.update_yaxes(title_text=title(material.size_metric), rangemode="tozero", row=1, col=1)
    if score is not None:
        figure.update_yaxes(title_text=title(material.objectives[score].metric), row=2, col=1)
    figure.update_xaxes(title_text="epoch", row=1 if score is None else 2, col=1)
    return framed(figure, _HEIGHT, hovermode="closest")


def _markers(course: _Course, colour: str) -> Iterator[go.Scatter]:
    changes = course.shown_changes
    for symbol, what in (("triangle-up", "grew"), ("triangle-down", "shrank")):
        chosen = [each for each in changes if (each[1] >= each[2]) == (what == "grew")]
        if chosen:
            yield go.Scatter(
                x=[report.epoch for report, *_ in chosen],
                y=[report.size for report, *_ in chosen],
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": colour},
                text=[_event_words(*each) for each in chosen],
                hovertemplate="%{text}<extra></extra>",
            )


def _event_words(report: StoredReport, added: int, removed: int, reason: str) -> str:
    parts = [f"{sign}{count}" for sign, count in (("+", added), ("-", removed)) if count]
    return f"epoch {report.epoch}: {', '.join(parts)} neurons<br>{plain(reason, 60)}"


def _table(material: Material, courses: Sequence[_Course], score: int | None) -> Table:
    rows = []
    for course in courses:
        changed = {each.epoch: (added, removed) for each, added, removed, _ in course.shown_changes}
        for each in course.epochs:
            added, removed = changed.get(each.epoch, (0, 0))
            scores = (
                () if score is None else (value_words(material.objectives[score].metric, each.report.values[score]),)
            )
            size = value_words(material.size_metric, each.size)
            number = str(course.trial.number)
            rows.append((number, str(each.epoch), size, *scores, str(added or ""), str(removed or "")))
    scores = () if score is None else (title(material.objectives[score].metric),)
    columns = ("trial", "epoch", title(material.size_metric), *scores, "neurons added", "neurons removed")
    return Table("Sizes and scores by trial and epoch", columns, tuple(rows))


def _summary(courses: Sequence[_Course]) -> str:
    first, left_out = courses[0], [each.left_out for each in courses if each.left_out]
    changes = first.changes
    grown, shrunk = sum(added for _, added, _, _ in changes), sum(removed for _, _, removed, _ in changes)
    if not changes:
        told = f"{first.name.capitalize()}, never changed its neurons."
    else:
        told = (
            f"{first.name.capitalize()}, changed its neurons in {plural(len(changes), 'epoch')}: {grown:,} came and "
            f"{shrunk:,} went."
        )
    return f"{told} Not all changes are marked: {'; '.join(left_out)}." if left_out else told
