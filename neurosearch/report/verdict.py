"""The answer: what was found, whether changing neurons helped, and what is missing to say so."""

from collections.abc import Iterator

from neurosearch import names
from neurosearch.report.exhibit import Section
from neurosearch.report.markup import Html, element
from neurosearch.report.material import Material
from neurosearch.report.numbers import plural, title, value_words
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import estimate, estimate_words
from neurosearch.search.words import duration

_GROWTH = {"static": "a fixed network"}


def verdict_section(material: Material) -> Section:
    """Returns the section: the answer, the figures that matter most, what else is known, and what is missing."""
    more = list(_more(material))
    gaps = list(missing(material))
    content = [
        element("p", " ".join(verdict(material)), class_="verdict"),
        element("dl", (_tile(*each) for each in _tiles(material)), class_="tiles"),
        element("ul", (element("li", line) for line in more)) if more else None,
        _gaps(gaps) if gaps else None,
    ]
    return Section("answer", "The answer", content)


def verdict(material: Material) -> tuple[str, str]:
    """Returns the answer in two sentences: what was found, and whether changing neurons helped."""
    return _found(material), _helped(material)


def missing(material: Material) -> Iterator[str]:
    """Yields what this study cannot tell yet, each with what would bring it."""
    found = material.counts
    if not material.trials:
        yield f"No trial has begun. `{material.folder.command('resume')}` starts them."
    if found["running"]:
        yield (
            f"{plural(found['running'], 'trial')} without an end: the search runs, or was stopped or killed. "
            f"`{material.folder.command('resume')}` goes on with them."
        )
    if found["failed"]:
        yield f"{plural(found['failed'], 'trial')} failed; why stands under Cost."
    if material.unanswered is not None and material.best is not None:
        yield material.unanswered
    if material.best is not None and material.best.number not in material.test:
        yield (
            "The test part has not been read for the best network, or its folder is not here; a search does so when "
            "it is complete."
        )


def _found(material: Material) -> str:
    best = material.best
    if best is None:
        return _nothing(material)
    objective = material.objectives[0]
    values = [metrics[objective.metric] for metrics in best.per_seed]
    is_fresh = material.is_fresh(best)
    metric = objective.metric
    score = estimate_words(metric, estimate(values)) if values and is_fresh else value_words(metric, best.value)
    kind = "the control itself, the largest fixed network" if best.role == "control" else _kind(best)
    how = plural(len(best.seeds), "fresh seed") if is_fresh else "the seeds of the search, so in part luck"
    return (
        f"The best network is trial {best.number}, {kind}, with {title(objective.metric)} {score} on {how}, and "
        f"{_size(material, best)}."
    )


def _nothing(material: Material) -> str:
    found = material.counts
    if not material.trials:
        return "Nothing was found yet: no trial has begun."
    words = {"failed": "failed", "infeasible": "ended beyond a bound", "stopped": "stopped early", "running": "run"}
    states = ", ".join(f"{found[state]} {text}" for state, text in words.items() if found[state])
    return f"No network within the limits was found yet: of {plural(len(material.trials), 'trial')}, {states}."


def _helped(material: Material) -> str:
    """Says what `status` says of it."""
    if material.answer is not None:
        first, *others = material.answer.lines()
        if not material.answer.fixed_winner:
            return first
        return f"{first.rstrip('.')}; {others[0][0].lower()}{others[0][1:]}"
    if material.unanswered is not None and material.best is not None:
        return "Whether changing neurons helped was not tested."
    if material.best is None:
        return "So nothing can be said about changing neurons."
    return "Whether changing neurons helps was not asked: no network that changed stands beside a control."


def _more(material: Material) -> Iterator[str]:
    """Yields what else the answer says: the other objectives, the test part, the arms."""
    if material.answer is not None:
        yield from material.answer.lines()[2 if material.answer.fixed_winner else 1 :]


def _kind(trial: TrialSummary) -> str:
    return _GROWTH.get(trial.kind, f"whose neurons changed ({trial.kind})")


def _size(material: Material, trial: TrialSummary) -> str:
    metric = material.size_metric
    limit = material.fields.size_limit
    bound = "" if limit is None else f" of at most {limit.maximum:,}"
    return f"{value_words(metric, trial.metrics.get(metric))} {title(metric)}{bound}"


def _tiles(material: Material) -> Iterator[tuple[str, str]]:
    best = material.best
    if best is not None:
        for each in material.objectives[:2]:
            yield title(each.metric), value_words(each.metric, best.metrics.get(each.metric))
        sizes = [material.size_metric, names.PARAMETERS, names.NEURONS, names.MULTIPLY_ADDS]
        shown = {each.metric for each in material.objectives[:2]}
        for metric in [each for each in dict.fromkeys(sizes) if each not in shown and each in best.metrics][:2]:
            yield title(metric), value_words(metric, best.metrics[metric])
    yield "trials of the search", f"{sum(each.role == 'search' for each in material.trials):,}"
    yield "searched for", duration(material.seconds_used)


def _tile(name: str, value: str) -> Html:
    return element("div", element("dt", name), element("dd", value))


def _gaps(gaps: list[str]) -> Html:
    heading = element("h3", "What is missing")
    return element("div", heading, element("ul", (element("li", _code(each)) for each in gaps)), class_="missing")


def _code(text: str) -> list[str]:
    """Returns a text in which what stands between backticks is code."""
    return [element("code", part) if index % 2 else part for index, part in enumerate(text.split("`"))]
