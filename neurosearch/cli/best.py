"""`neurosearch best`: the best networks of a study."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, StudyName
from neurosearch.cli.report import NOTHING_FEASIBLE, Report

if TYPE_CHECKING:
    from neurosearch.search.seams import TrialSummary
    from neurosearch.search.stored import StoredStudy


@command
def best(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    most: Annotated[
        int, typer.Option("--top", metavar="N", help="How many trials; by the first objective.", min=1)
    ] = 1,
) -> Report:
    """Show the best trial of a study: its scores, sizes, hyperparameters and why it counts as the best."""
    from neurosearch.cli.studies import next_commands, on_study, open_study
    from neurosearch.search.summaries import ranked
    from neurosearch.search.words import trial_facts

    study = open_study(name, folder, database)
    winner = study.best()
    if winner is None:
        text = f"no trial of {name!r} is feasible yet: none has ended within the size limit and the constraints."
        facts = {"ok": False, "study": name, "best": None, "trials": [], "error": text, "exit_code": NOTHING_FEASIBLE}
        return Report(facts, (text,), next=next_commands(study), code=NOTHING_FEASIBLE)
    others = [each for each in ranked(study.trials(), study.config.study.search.objectives[0]) if each != winner]
    chosen = (winner, *others[: most - 1])
    facts = {"study": name, "best": trial_facts(winner), "trials": [trial_facts(each) for each in chosen]}
    lines = (*(line for each in chosen for line in _lines(study, each)), _why(study, winner))
    return Report(facts, lines, next=(on_study("export", study), on_study("status", study)))


def _lines(study: "StoredStudy", trial: "TrialSummary") -> Iterator[str]:
    from neurosearch import names
    from neurosearch.numbers import number
    from neurosearch.search.words import duration, hyperparameters, role_words, seeds, size

    metrics = dict.fromkeys(
        (*(each.metric for each in study.config.study.search.objectives), *(each for each in names.OBJECTIVES))
    )
    scores = [f"{each} {number(each, trial.metrics[each])}" for each in metrics if _is_told(each, trial)]
    spent = "" if trial.seconds is None else f", {duration(trial.seconds)}"
    yield f"trial {trial.number}, {trial.kind}, {role_words(trial.role)}: {size(trial.metrics)}"
    yield f"  {', '.join(scores)}"
    yield f"  {hyperparameters(trial)}"
    yield f"  {seeds(trial)}, {trial.epochs} epochs{spent}"


def _is_told(metric: str, trial: "TrialSummary") -> bool:
    from neurosearch import names

    return metric in trial.metrics and metric not in names.SIZES


def _why(study: "StoredStudy", winner: "TrialSummary") -> str:
    from neurosearch.search.confirmed import confirmed

    trials, objective = study.trials(), study.config.study.search.objectives[0]
    by = f"by {objective.metric} ({objective.direction})"
    if all(each.number != winner.number for each in confirmed(trials)):  # a control without finalists is none of these
        return f"the best of {len(trials)} trials {by}, on the seeds of the search: in part luck."
    return f"the best of finalists and control {by}, on fresh seeds."
