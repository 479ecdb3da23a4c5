"""Seed by seed: how sure the answer is."""

from collections.abc import Sequence

import plotly.graph_objects as go

from neurosearch import names
from neurosearch.numbers import figure
from neurosearch.report.exhibit import Exhibit, Missing, Section
from neurosearch.report.markup import element
from neurosearch.report.material import Material
from neurosearch.report.numbers import change_words, mean_words, plural, title, value_words
from neurosearch.report.style import CONTENDER, CONTROL, GREY, TEAL, framed, plain
from neurosearch.report.table import Table
from neurosearch.search.cause import compared
from neurosearch.search.confirmed import by_seed, common_seeds
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import Comparison, estimate
from neurosearch.search.words import role_words

_HEIGHT = 420


def seeds_section(material: Material) -> Section:
    """Returns the section."""
    exhibit = seeds_exhibit(material)
    if isinstance(exhibit, Missing):
        return Section("seeds", "Seeds and intervals", exhibit.html())
    content = [element("p", _words(material)), exhibit.html(), _intervals(material).html()]
    tests = _comparisons(material)
    return Section("seeds", "Seeds and intervals", [*content, tests.html() if tests.rows else None])


def seeds_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: the first objective of each network on each fresh seed."""
    trials = _confirmed(material)
    if not trials:
        return Missing(
            "Nothing was trained on fresh seeds yet, so there is no interval. A search does so at its end, with "
            "search.finalists of 1 or more."
        )
    metric = material.objectives[0].metric
    return Exhibit(
        key="seeds",
        title=f"{title(metric).capitalize()} on each fresh seed.",
        summary=(
            f"{plural(len(trials), 'network')}; a line joins what one seed gave. Diamonds are means, with their 95 % "
            "intervals."
        ),
        figure=_figure(trials, metric),
        table=_table(trials, metric, material),
    )


def _confirmed(material: Material) -> list[TrialSummary]:
    """Returns the trials on fresh seeds, the control first, so that others are read as what differs from it."""
    order = {"control": 0, "finalist": 1}
    return sorted(material.confirmed, key=lambda each: (order.get(each.role, 2), each.number))


def _words(material: Material) -> str:
    return (
        "The search chose its best by its own seeds, so the best is in part lucky. Here are the same configurations on "
        f"seeds that it never saw ({_counts(material)}), with the same initialisations and orders of data. Two "
        "networks are compared on the seeds that both have: what a seed does to both cancels out in the paired test."
    )


def _counts(material: Material) -> str:
    """Says how many seeds the networks have; a study that went on with another number of them has several."""
    counts = sorted({len(each.per_seed) for each in material.confirmed})
    return plural(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {plural(counts[-1], 'seed')}"


def _figure(trials: Sequence[TrialSummary], metric: str) -> go.Figure:
    drawn = go.Figure()
    labels = [_label(each) for each in trials]
    networks = [by_seed(each, each.per_seed) for each in trials]
    seeds = dict.fromkeys(seed for each in networks for seed in each)
    for place, seed in enumerate(seeds, start=1):
        chosen = [(label, each[seed]) for label, each in zip(labels, networks, strict=True) if seed in each]
        drawn.add_trace(
            go.Scatter(
                x=[label for label, _ in chosen],
                y=[metrics[metric] for _, metrics in chosen],
                mode="lines+markers",
                line={"color": GREY, "width": 1},
                marker={"color": GREY, "size": 6},
                opacity=0.7,
                name=f"seed {place}",
                showlegend=False,
                hovertemplate=f"seed {place}: %{{y:.4g}}<extra></extra>",
            )
        )
    for label, trial in zip(labels, trials, strict=True):
        drawn.add_trace(_mean(label, trial, metric))
    drawn.update_xaxes(type="category")
    drawn.update_yaxes(title_text=title(metric))
    return framed(drawn, _HEIGHT, showlegend=False, hovermode="closest")


def _mean(label: str, trial: TrialSummary, metric: str) -> go.Scatter:
    found = estimate([metrics[metric] for metrics in trial.per_seed])
    room = None if found.high is None else found.high - found.mean
    colour = {"control": CONTROL, "finalist": CONTENDER}.get(trial.role, TEAL)
    return go.Scatter(
        x=[label],
        y=[found.mean],
        mode="markers",
        marker={"symbol": "diamond", "size": 13, "color": colour},
        error_y=None
        if room is None
        else {"type": "data", "array": [room], "color": colour, "thickness": 2, "width": 6},
        hovertemplate="mean %{y:.4g}<extra></extra>",
    )


def _label(trial: TrialSummary) -> str:
    role = trial.role if trial.role in ("control", "finalist") else role_words(trial.role)
    return f"{role}<br>{trial.number}, {plain(trial.kind, 16)}"


def _table(trials: Sequence[TrialSummary], metric: str, material: Material) -> Table:
    on_test = f"{names.TEST_PREFIX}{metric}"
    rows = []
    for trial in trials:
        test = material.test.get(trial.number, ())
        for index, (seed, metrics) in enumerate(zip(trial.seeds, trial.per_seed, strict=False)):
            score = value_words(metric, test[index].get(on_test)) if test else "-"
            rows.append(
                (
                    str(trial.number),
                    trial.kind,
                    role_words(trial.role),
                    str(seed),
                    value_words(metric, metrics[metric]),
                    score,
                )
            )
    columns = ("trial", "growth", "role", "seed", title(metric), "on the test part")
    return Table(f"{title(metric)} by trial and seed", columns, tuple(rows))


def _intervals(material: Material) -> Table:
    """Returns mean and interval of each network in each objective, and on the test part."""
    rows: list[tuple[str, ...]] = []
    marked = set()
    metrics = [each.metric for each in material.objectives]
    columns = [(metric, "") for metric in metrics]
    columns += [(f"{names.TEST_PREFIX}{metric}", names.TEST_PREFIX) for metric in metrics if metric not in names.SIZES]
    for trial in _confirmed(material):
        if material.best is not None and trial.number == material.best.number:
            marked.add(len(rows))
        cells = (_mean_words(material, trial, metric, bool(prefix)) for metric, prefix in columns)
        rows.append((str(trial.number), trial.kind, role_words(trial.role), *cells))
    titles = ("trial", "growth", "role", *(_column(metric) for metric, _ in columns))
    return Table(
        "Means over the fresh seeds, with 95 % intervals (Student's t)", titles, tuple(rows), frozenset(marked)
    )


def _column(metric: str) -> str:
    return f"{title(metric.removeprefix(names.TEST_PREFIX))}{', test' if metric.startswith(names.TEST_PREFIX) else ''}"


def _mean_words(material: Material, trial: TrialSummary, metric: str, is_test: bool) -> str:
    per_seed = material.test.get(trial.number, ()) if is_test else trial.per_seed
    values = [each[metric] for each in per_seed if metric in each]
    if not values or len(values) < len(per_seed):
        return "-"
    return mean_words(metric, estimate(values))


def _comparisons(material: Material) -> Table:
    """Returns each network against the control seed by seed, with both tests."""
    control = material.control
    rows: list[tuple[str, ...]] = []
    for trial in _confirmed(material):
        if control is None or trial.number == control.number or not common_seeds(trial, control):
            continue
        rows += [
            (
                str(trial.number),
                role_words(trial.role),
                title(each.metric),
                str(each.winner.num_seeds),
                *_test_cells(each),
            )
            for each in compared(trial, control, material.objectives)
        ]
    columns = (
        "trial",
        "role",
        "objective",
        "seeds",
        "minus control",
        "95 % interval",
        "p, paired t-test",
        "p, sign flips",
    )
    return Table("Differences to the control, seed by seed", columns, tuple(rows))


def _test_cells(comparison: Comparison) -> tuple[str, ...]:
    mean, interval = change_words(comparison.metric, comparison.difference)
    return mean, interval or "-", _p(comparison.p), _p(comparison.p_sign_flip)


def _p(value: float | None) -> str:
    return "-" if value is None else "< .001" if value < 0.001 else figure(value, 3)
