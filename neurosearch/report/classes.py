"""Class by class, or quantity by quantity: the network that stands for the search beside its control."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from neurosearch import names
from neurosearch.config.search import Direction
from neurosearch.report.confusions import confusion_content
from neurosearch.report.exhibit import Exhibit, Missing, Section
from neurosearch.report.markup import element
from neurosearch.report.material import Material
from neurosearch.report.numbers import change_words, plural, title, value_words
from neurosearch.report.style import CONTENDER, CONTROL, GREY, framed, plain, rows_of
from neurosearch.report.table import Table
from neurosearch.search.confirmed import by_seed, common_seeds
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import Comparison, answer_of, compare, holm

_MOST_NAMED = 40  # classes with a line of their own; more are drawn by their number of examples
_SHORT, _LONGEST = 18, 60  # characters of a class's name beside the figure and under the pointer
_GROUPS = (
    names.ACCURACY,
    names.BALANCED_ACCURACY,
    names.WORST_CLASS_RECALL,
    names.MANY_RECALL,
    names.MEDIUM_RECALL,
    names.FEW_RECALL,
    names.HEAD_RECALL,
    names.MIDDLE_RECALL,
    names.TAIL_RECALL,
    names.CALIBRATION_ERROR,
    *names.TARGET_SCORES,
)
_LOWER_IS_BETTER = (names.CALIBRATION_ERROR, names.RMSE, names.MAE)
_PARTS = {"": "validation part", names.TEST_PREFIX: "test part"}


@dataclass(frozen=True)
class _Pair:
    """One metric of the contender and of the control on one part.

    Attributes:
        label: What it is about, for people.
        contender: Its value on each seed; on those that both have, where they are compared.
        control: Likewise; empty without a control that has it.
        examples: Training examples behind it; None where unknown.
        comparison: Their difference seed by seed; None without common seeds.
    """

    label: str
    contender: tuple[float, ...]
    control: tuple[float, ...]
    examples: int | None
    comparison: Comparison | None

    @property
    def means(self) -> tuple[float, float | None]:
        """Mean of the contender and of the control."""
        ours = sum(self.contender) / len(self.contender)
        return ours, sum(self.control) / len(self.control) if self.control else None


def classes_section(material: Material) -> Section:
    """Returns the section."""
    contender = material.contender
    if contender is None or not contender.per_seed:
        why = "No network within the limits has ended yet, so no class can be looked at."
        return Section("classes", "Class by class", Missing(why).html())
    groups = [_groups_table(material, contender, prefix) for prefix in _PARTS]
    tables = [each.html() for each in groups if each is not None]
    exhibit = classes_exhibit(material)
    heading = "Class by class" if _family(contender) == names.RECALL_PREFIX else "Quantity by quantity"
    content = [element("p", _words(material, contender)), tables, exhibit.html(), confusion_content(material)]
    return Section("classes", heading, content)


def classes_exhibit(material: Material) -> Exhibit | Missing:
    """Returns the figure: each class or quantity of the network that stands for the search, and of the control."""
    contender = material.contender
    if contender is None or not contender.per_seed:
        return Missing("No network within the limits has ended yet, so no class can be looked at.")
    family = _family(contender)
    pairs = _members(material, contender, family, "")
    if not pairs:
        return Missing("This study keeps no score of single classes or quantities: there is one quantity alone.")
    on_test = {each.label: each for each in _members(material, contender, family, names.TEST_PREFIX)}
    metric = family.rstrip("/")
    is_many = len(pairs) > _MOST_NAMED and all(each.examples is not None for each in pairs)
    drawn = _by_examples(pairs, metric) if is_many else _by_name(pairs, metric)
    return Exhibit(
        key="classes",
        title=f"{metric.capitalize()} of each {_member_word(family)} on the validation part.",
        summary=_summary(pairs, family),
        figure=drawn,
        table=_table(pairs, on_test, metric, family),
    )


def _words(material: Material, contender: TrialSummary) -> str:
    control = material.control
    if control is None:
        return f"Trial {contender.number} ({contender.kind}) stands alone here: no control ended within the limits."
    best = material.best
    itself = "The best network is the control itself. " if best is not None and best.number == control.number else ""
    beside = f"{itself}Trial {contender.number} ({contender.kind}) beside the control, trial {control.number}, on "
    if not _is_tested(material, contender, control):
        is_same = bool(common_seeds(contender, control))
        return (
            f"{beside}{'seeds that are no fresh ones' if is_same else 'other seeds'}, so without intervals and tests."
        )
    seeds = plural(len(common_seeds(contender, control)), "fresh seed")
    return (
        f"{beside}{seeds}, the same for both. Intervals are 95 % by the paired t-test, each for itself: of many "
        "some leave 0 out by chance."
    )


def _is_tested(material: Material, contender: TrialSummary, control: TrialSummary) -> bool:
    """Returns whether both were trained on seeds that chose neither, some of them the same."""
    are_fresh = material.is_fresh(contender) and material.is_fresh(control)
    return are_fresh and bool(common_seeds(contender, control))


def _groups_table(material: Material, contender: TrialSummary, prefix: str) -> Table | None:
    pairs = [_pair(material, contender, metric, prefix, title(metric), None) for metric in _GROUPS]
    found = [each for each in pairs if each is not None]
    if not found:
        return None
    rows = tuple(_row(each) for each in found)
    columns = ("score", f"trial {contender.number}", "control", "difference", "95 % interval")
    return Table(f"Scores on the {_PARTS[prefix]}, means over the seeds", columns, rows)


def _members(material: Material, contender: TrialSummary, family: str, prefix: str) -> list[_Pair]:
    """Returns the single classes or quantities, those with the most examples first."""
    per_seed = _scores(material, contender, prefix)
    start = f"{prefix}{family}"
    metrics = [name for name in (per_seed[0] if per_seed else {}) if name.startswith(start)]
    counts = _counts(material)
    found = [
        _pair(material, contender, name.removeprefix(prefix), prefix, name.removeprefix(start), counts)
        for name in metrics
    ]
    return sorted((each for each in found if each is not None), key=lambda each: -(each.examples or 0))


def _pair(
    material: Material,
    contender: TrialSummary,
    metric: str,
    prefix: str,
    label: str,
    counts: Mapping[str, int] | None,
) -> _Pair | None:
    """Returns one metric of both; None where the contender has not got it on every seed."""
    name, control = f"{prefix}{metric}", material.control
    ours = _values(material, contender, prefix, name)
    if not ours:
        return None
    theirs = {} if control is None else _values(material, control, prefix, name)
    comparison = None
    if control is not None and theirs and _is_tested(material, contender, control):
        seeds = common_seeds(contender, control)
        ours, theirs = ({seed: values[seed] for seed in seeds} for values in (ours, theirs))
        direction: Direction = "minimize" if metric.split("/", maxsplit=1)[0] in _LOWER_IS_BETTER else "maximize"
        comparison = compare(name, direction, [*ours.values()], [*theirs.values()])
    return _Pair(label, (*ours.values(),), (*theirs.values(),), (counts or {}).get(label), comparison)


def _scores(material: Material, trial: TrialSummary, prefix: str) -> Sequence[Mapping[str, float]]:
    return material.test.get(trial.number, ()) if prefix else trial.per_seed


def _values(material: Material, trial: TrialSummary, prefix: str, name: str) -> dict[int, float]:
    """Returns a trial's value of a metric by seed; empty unless all of its networks have it."""
    scores = by_seed(trial, _scores(material, trial, prefix))
    return {seed: each[name] for seed, each in scores.items()} if all(name in each for each in scores.values()) else {}


def _counts(material: Material) -> Mapping[str, int]:
    """Returns the training examples by class name; nothing where the data was prepared in several ways."""
    manifest = material.manifest
    if manifest is None or not manifest.class_names:
        return {}
    return dict(zip(manifest.class_names, manifest.train_counts, strict=True))


def _family(trial: TrialSummary) -> str:
    """Returns the beginning of the names of single scores: of classes, or of quantities."""
    is_classes = any(name.startswith(names.RECALL_PREFIX) for name in trial.per_seed[0])
    return names.RECALL_PREFIX if is_classes else f"{names.RMSE}/"


def _member_word(family: str) -> str:
    return "class" if family == names.RECALL_PREFIX else "quantity"


def _by_name(pairs: Sequence[_Pair], metric: str) -> go.Figure:
    """Draws one line for each class, from the control's value to the contender's."""
    drawn = go.Figure()
    has_control = all(each.control for each in pairs)
    if has_control:
        ends = [
            end for row, each in enumerate(pairs) for end in ((each.means[0], row), (each.means[1], row), (None, None))
        ]
        drawn.add_trace(
            go.Scatter(
                x=[x for x, _ in ends],
                y=[y for _, y in ends],
                mode="lines",
                line={"color": GREY, "width": 1.5},
                hoverinfo="skip",
                showlegend=False,
            )
        )
        drawn.add_trace(_row_dots(pairs, 1, CONTROL, "square", "control"))
    drawn.add_trace(_row_dots(pairs, 0, CONTENDER, "circle", "network of the search"))
    shown = rows_of([each.label for each in pairs], _SHORT)
    texts = [f"{text}{_examples(each)}" for text, each in zip(shown["ticktext"], pairs, strict=True)]
    drawn.update_yaxes(**{**shown, "ticktext": texts})
    drawn.update_xaxes(title_text=metric)
    return framed(drawn, 26 * len(pairs) + 110)


def _row_dots(pairs: Sequence[_Pair], index: int, colour: str, symbol: str, name: str) -> go.Scatter:
    return go.Scatter(
        x=[each.means[index] for each in pairs],
        y=list(range(len(pairs))),
        text=[f"{plain(each.label, _LONGEST)}{_examples(each)}" for each in pairs],
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 10},
        name=name,
        hovertemplate="%{text}<br>%{x:.3f}<extra>" + name + "</extra>",
    )


def _by_examples(pairs: Sequence[_Pair], metric: str) -> go.Figure:
    """Draws each class by its number of examples, where there are too many for a line each."""
    drawn = go.Figure()
    series = [("control", CONTROL, "square", 1), ("network of the search", CONTENDER, "circle", 0)]
    for name, colour, symbol, index in series:
        chosen = [each for each in pairs if each.means[index] is not None]
        if chosen:
            drawn.add_trace(
                go.Scatter(
                    x=[each.examples for each in chosen],
                    y=[each.means[index] for each in chosen],
                    mode="markers",
                    marker={"color": colour, "symbol": symbol, "size": 6, "opacity": 0.55},
                    name=name,
                    text=[plain(each.label) for each in chosen],
                    hovertemplate="%{text}, %{x} examples<br>%{y:.3f}<extra>" + name + "</extra>",
                )
            )
    drawn.update_xaxes(title_text="training examples of the class", type="log")
    drawn.update_yaxes(title_text=metric)
    return framed(drawn, 420, hovermode="closest")


def _examples(pair: _Pair) -> str:
    return "" if pair.examples is None else f" ({pair.examples:,})"


def _summary(pairs: Sequence[_Pair], family: str) -> str:
    word = _member_word(family)
    compared = [each.comparison for each in pairs if each.comparison is not None]
    if not compared:
        return f"{plural(len(pairs), word)}, with the most training examples first."
    corrected = zip(compared, holm([each.p for each in compared]), strict=True)
    answers = Counter(answer_of(each.difference, p, each.direction) for each, p in corrected)
    examples = " In brackets: training examples." if any(each.examples for each in pairs) else ""
    return (
        f"Of {len(pairs)}, the search's network is clearly better on {answers['helped']} and clearly worse on "
        f"{answers['harmed']}, with p corrected for their number (Holm).{examples}"
    )


def _row(pair: _Pair) -> tuple[str, ...]:
    ours, theirs = pair.means
    return (
        pair.label,
        value_words("", ours),
        value_words("", theirs),
        *_difference(pair.comparison),
    )


def _difference(comparison: Comparison | None) -> tuple[str, str]:
    if comparison is None:
        return "", ""
    return change_words(comparison.metric, comparison.difference)


def _table(pairs: Sequence[_Pair], on_test: Mapping[str, _Pair], metric: str, family: str) -> Table:
    has_counts = any(each.examples is not None for each in pairs)
    rows = []
    for each in pairs:
        label, *cells = _row(each)
        test = _row(on_test[each.label])[1:4] if each.label in on_test else ("", "", "")
        examples = (f"{each.examples:,}",) if has_counts else ()
        rows.append((label, *examples, *cells, *(test if on_test else ())))
    columns = [_member_word(family), *(("training examples",) if has_counts else ())]
    columns += [metric, "control", "difference", "95 % interval"]
    columns += ["on the test part", "control on it", "difference on it"] if on_test else []
    word = "classes" if family == names.RECALL_PREFIX else "quantities"
    return Table(f"Scores of single {word}, the most training examples first", tuple(columns), tuple(rows))
