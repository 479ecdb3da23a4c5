"""Opening a study by its name, and telling how it stands."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch import names
from neurosearch.cli.options import RUNS
from neurosearch.cli.report import CommandError, NoSuchStudy, neurosearch
from neurosearch.numbers import number
from neurosearch.search.folders import StudyFolder
from neurosearch.search.summaries import counts
from neurosearch.search.words import (
    duration,
    failures,
    hyperparameters,
    size,
    state_words,
    trial_facts,
)

if TYPE_CHECKING:
    from neurosearch.search.reached import Reached
    from neurosearch.search.seams import TrialSummary
    from neurosearch.search.stored import StoredStudy


def open_study(name: str, folder: Path, database: str | None = None) -> "StoredStudy":
    """Returns a study that was started before.

    Args:
        name: Its name.
        folder: The folder of all studies; where the database's own word counts, the default stands for any.
        database: The database that holds it; None: the one that the config in its folder names, or its journal.

    Raises:
        NoSuchStudy: There is none of this name.
        CommandError: Its storage cannot be used.
    """
    from neurosearch.search.errors import NoStudy, StudyError
    from neurosearch.search.storage import stored_names
    from neurosearch.search.stored import StoredStudy

    at = StudyFolder(folder, name)
    try:
        at = replace(at, database=typed_database(database) or _written_down(at))
        study = StoredStudy(at)
    except NoStudy as error:
        others = tuple(on_study("status", replace(at, name=other)) for other in stored_names(at))
        raise NoSuchStudy(str(error), next_commands=others or (neurosearch("search", "CONFIG"),)) from error
    except StudyError as error:
        raise CommandError(str(error)) from error
    if at.database is not None and folder == RUNS:
        study.folder = replace(study.folder, root=Path(study.config.study.storage.folder))
    return study


def typed_database(database: str | None) -> str | None:
    """Returns the address that was typed, or that the environment gives; None for none.

    Raises:
        StudyError: It is no address.
    """
    from neurosearch.config.database import database_address
    from neurosearch.search.errors import StudyError

    if not database:
        return None
    try:
        database_address(database)
    except ValueError as error:
        raise StudyError(f"--database (or NEUROSEARCH_DATABASE) {error}.") from error
    return database


def _written_down(folder: StudyFolder) -> str | None:
    """Returns the database that the config in the study's folder names, if the study has no journal there."""
    from neurosearch.config.base import ConfigError
    from neurosearch.config.yaml_source import read_yaml

    if folder.journal.exists() or not folder.config.exists():
        return None
    try:
        storage = read_yaml(folder.config).values.get("storage")
        return typed_database(storage.get("database")) if isinstance(storage, dict) else None
    except ConfigError:
        return None


def on_study(command: str, study: "StoredStudy | StudyFolder", *words: object) -> str:
    """Writes a command on a study as it is typed, with the options that say where the study is."""
    folder = study if isinstance(study, StudyFolder) else study.folder
    return folder.command(command, *words)


def searcher(study: "StoredStudy") -> str | None:
    """Returns which living process searches a study; None when none does."""
    from neurosearch.search.lock import holder

    return holder(study.folder)


def study_facts(study: "StoredStudy") -> dict[str, Any]:
    """Returns how a study stands, as plain values."""
    trials, search = study.trials(), study.config.study.search
    best = study.best()
    return {
        "study": study.folder.name,
        "folder": str(study.folder.path),
        "database": study.folder.database,
        "searched_by": searcher(study),
        "stop_requested": study.stop_requested,
        "unfinished": study.is_unfinished,
        "objectives": [objective.model_dump(mode="json") for objective in search.objectives],
        "size_limit": study.config.study.model_dump(mode="json")["size_limit"],
        "counts": dict(counts(trials)),
        "budget": {
            "trials": search.trials,
            "trials_used": study.num_searched,
            "seconds": search.time_budget_seconds,
            "seconds_used": study.seconds_used,
        },
        "best": None if best is None else trial_facts(best),
        **outcome_facts(study),
        "trials": [trial_facts(trial) for trial in trials],
    }


def outcome_facts(study: "StoredStudy") -> dict[str, Any]:
    """Returns what the trials say together: the front and whether changing neurons helped, each None without one."""
    from neurosearch.search.answer import answered

    trials, fields = study.trials(), study.config.study
    answer = answered(trials, fields)
    several = len(fields.search.objectives) > 1
    return {
        "front": study.reached().facts() if several else None,
        "answer": None if answer is None else answer.facts(),
    }


def study_lines(study: "StoredStudy") -> Iterator[str]:
    """Tells how a study stands, for people."""
    from neurosearch.cli.screen import epochs_of
    from neurosearch.search.answer import answered

    trials, search = study.trials(), study.config.study.search
    process = searcher(study)
    yield f"study {study.folder.name} in {study.folder.path}: {state_words(study, process)}"
    states = ", ".join(f"{count} {state}" for state, count in counts(trials).items() if count) or "none yet"
    limit = f" of at most {duration(search.time_budget_seconds)}" if search.time_budget_seconds else ""
    spent = f"searched for {duration(study.seconds_used)}{limit}"
    yield f"trials: {study.num_searched} of {search.trials} ({states}); {spent}"
    yield from _best_lines(study.best(), search.objectives[0].metric)
    yield from front_lines(study)
    answer = answered(trials, study.config.study)
    if answer is not None:
        yield from answer.lines()
    for trial in trials:
        if trial.state == "running":
            word = "running" if process else "waiting"
            yield f"{word}: trial {trial.number}, {trial.kind}, epoch {trial.epochs} of {epochs_of(trial)}"
    yield from failures(trials)


def front_lines(study: "StoredStudy") -> Iterator[str]:
    """Tells the front, a line for each trial on it; nothing with one objective."""
    fields = study.config.study
    metrics = [objective.metric for objective in fields.search.objectives]
    if len(metrics) == 1:
        return
    yield from reached_lines(metrics, study.reached())


def reached_lines(metrics: Sequence[str], found: "Reached") -> Iterator[str]:
    """Tells a front, whose objectives have these names: a line for each network on it."""
    share = number(names.HYPERVOLUME, found.hypervolume)
    yield f"front: {len(found.front)} networks that none dominates, hypervolume {share}"
    for each in found.front:
        values = ", ".join(
            f"{metric} {number(metric, value)}" for metric, value in zip(metrics, each.values, strict=True)
        )
        epoch = "" if each.epoch is None else f"  after epoch {each.epoch}"
        yield f"  trial {each.trial:>3}  {each.kind:<8}  {values}{epoch}"


def next_commands(study: "StoredStudy") -> tuple[str, ...]:
    """Returns what is worth typing next."""
    if searcher(study):
        return (on_study("status", study), on_study("stop", study))
    export = on_study("export", study) if study.best() else None
    resume = on_study("resume", study) if study.is_unfinished else None
    return tuple(each for each in (resume, export, shows(study)) if each)


def shows(study: "StoredStudy") -> str:
    """Returns the command that shows a study: MLflow's pages, or the report where MLflow was told nothing."""
    return on_study("ui" if study.config.study.tracking.enabled else "report", study)


def _best_lines(best: "TrialSummary | None", metric: str) -> Iterator[str]:
    if best is None:
        yield "best: nothing feasible yet"
        return
    yield f"best: trial {best.number}, {best.kind}, {metric} {number(metric, best.value)}, {size(best.metrics)}"
    yield f"  {hyperparameters(best)}"
