"""Opening a study by its name, and telling how it stands."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch.cli.options import RUNS
from neurosearch.cli.report import CommandError, neurosearch
from neurosearch.cli.words import duration, failures, hyperparameters, number, size, trial_facts
from neurosearch.search.folders import StudyFolder
from neurosearch.search.summaries import counts

if TYPE_CHECKING:
    from neurosearch.search.seams import TrialSummary
    from neurosearch.search.stored import StoredStudy


def open_study(name: str, folder: Path) -> "StoredStudy":
    """Returns a study that was started before.

    Raises:
        CommandError: There is none of this name.
    """
    from neurosearch.search.errors import StudyError
    from neurosearch.search.stored import StoredStudy, study_names

    try:
        return StoredStudy(StudyFolder(folder, name))
    except StudyError as error:
        others = tuple(on_study("status", StudyFolder(folder, other)) for other in study_names(folder))
        raise CommandError(str(error), next_commands=others or (neurosearch("search", "CONFIG"),)) from error


def on_study(command: str, study: "StoredStudy | StudyFolder", *words: object) -> str:
    """Writes a command on a study as it is typed; the folder only where it is not the default one."""
    folder = study if isinstance(study, StudyFolder) else study.folder
    where = () if folder.root == RUNS else ("--folder", folder.root)
    return neurosearch(command, folder.name, *words, *where)


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
        "searched_by": searcher(study),
        "stop_requested": study.stop_requested,
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
        "trials": [trial_facts(trial) for trial in trials],
    }


def study_lines(study: "StoredStudy") -> Iterator[str]:
    """Tells how a study stands, for people."""
    trials, search = study.trials(), study.config.study.search
    process = searcher(study)
    yield f"study {study.folder.name} in {study.folder.path}: {_state(study, process)}"
    states = ", ".join(f"{count} {state}" for state, count in counts(trials).items() if count) or "none yet"
    limit = f" of at most {duration(search.time_budget_seconds)}" if search.time_budget_seconds else ""
    spent = f"searched for {duration(study.seconds_used)}{limit}"
    yield f"trials: {study.num_searched} of {search.trials} ({states}); {spent}"
    yield from _best_lines(study.best(), search.objectives[0].metric)
    for trial in trials:
        if trial.state == "running":
            epochs = trial.config["training"]["epochs"]
            word = "running" if process else "waiting"
            yield f"{word}: trial {trial.number}, {trial.kind}, epoch {trial.epochs} of {epochs}"
    yield from failures(trials)


def next_commands(study: "StoredStudy") -> tuple[str, ...]:
    """Returns what is worth typing next."""
    if searcher(study):
        return (on_study("status", study), on_study("stop", study))
    export = on_study("export", study) if study.best() else None
    resume = on_study("resume", study) if is_unfinished(study) else None
    return tuple(each for each in (resume, export, on_study("ui", study)) if each)


def is_unfinished(study: "StoredStudy") -> bool:
    """Tells whether the study has trials without an end, or a budget for more."""
    return study.num_searched < study.config.study.search.trials or counts(study.trials())["running"] > 0


def _state(study: "StoredStudy", process: str | None) -> str:
    if process:
        return f"{'stopping' if study.stop_requested else 'searching'} ({process})"
    return "stopped; it can go on" if is_unfinished(study) else "complete"


def _best_lines(best: "TrialSummary | None", metric: str) -> Iterator[str]:
    if best is None:
        yield "best: nothing feasible yet"
        return
    yield f"best: trial {best.number}, {best.kind}, {metric} {number(best.value)}, {size(best.metrics)}"
    yield f"  {hyperparameters(best)}"
