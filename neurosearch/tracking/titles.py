"""What people read first of a run: the name of a trial's, and what a study's is about. Pure functions, no MLflow."""

from collections.abc import Iterator, Mapping
from typing import Any

from neurosearch.names import PARAMETERS, SIZES
from neurosearch.numbers import number
from neurosearch.tracking.values import Study, Trial, TrialEnd

#: MLflow's own names of a run's name and of its description, which its pages show as Markdown.
NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"

_LONGEST_NOTE = 5000


def trial_name(study: Study, trial: Trial, end: TrialEnd | None) -> str:
    """Returns the name of a trial's run: its number and growth, once it has ended also its score and its size.

    Example:
        `00007 periodic, 0.8123, 5,432 parameters`; `00031 finalist static, 0.8057, 5,998 parameters`;
        `00004 nimble, stopped, 3,120 parameters`; `00012 static, failed`.
    """
    kind = growth_kind(trial.config)
    begun = f"{trial.number:05d} {kind if trial.role in ('search', kind) else f'{trial.role} {kind}'}"
    return begun if end is None else ", ".join([begun, *_end_words(study, end)])


def study_note(study: Study) -> str:
    """Returns in a few words of Markdown what is searched."""
    config, search = study.config, _section(study.config, "search")
    limit, trials = _limit(config), search.get("trials")
    parts = [
        f"models: {', '.join(_kinds(config.get('model')))}" if config.get("model") else "",
        f"growth: {', '.join(_kinds(config.get('growth')))}" if config.get("growth") else "",
        f"data: {', '.join(_kinds(config.get('data')))}" if config.get("data") else "",
        f"at most {limit[1]:,} {limit[0].replace('_', ' ')}" if limit else "",
        f"{trials} trials" if trials else "",
    ]
    return f"**{study.name}** searches by {study.objective}. {_sentence(parts)}".strip()


def shortened(note: str) -> str:
    """Returns a note at the length that MLflow's pages take."""
    return note if len(note) <= _LONGEST_NOTE else f"{note[: _LONGEST_NOTE - 4]} ..."


def growth_kind(config: Mapping[str, Any]) -> str:
    """Returns the kind of growth of a trial's config."""
    return str(_section(config, "growth").get("kind", "static"))


def _end_words(study: Study, end: TrialEnd) -> Iterator[str]:
    metrics, state = end.outcome.metrics, end.outcome.state
    objective = study.objective.split(", ")[0]
    score = metrics.get(objective)
    if state != "finished":
        yield state
    elif score is not None:
        yield number(objective, score)
    limit = _limit(study.config)
    size = limit[0] if limit else PARAMETERS
    if size in metrics and state != "failed":
        yield f"{number(size, metrics[size])} {size.replace('_', ' ')}"
    if state == "finished" and not end.feasible:
        yield "beyond a bound"


def _limit(config: Mapping[str, Any]) -> tuple[str, int] | None:
    bounds = _section(config, "size_limit")
    return next(((name, int(bounds[name])) for name in SIZES if bounds.get(name) is not None), None)


def _kinds(section: Any) -> Iterator[str]:
    """Yields the kinds that a section of a config may have, also where that is searched."""
    if isinstance(section, Mapping):
        if "kind" in section:
            yield from _kinds(section["kind"])
        else:
            for each in section.get("options", ()):
                yield from _kinds(each)
    elif isinstance(section, str):
        yield section


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _sentence(parts: list[str]) -> str:
    told = "; ".join(part for part in parts if part)
    return f"{told[0].upper()}{told[1:]}." if told else ""
