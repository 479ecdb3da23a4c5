"""`neurosearch stop`: ends a search that another process runs, so that it can go on later."""

from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, StudyName
from neurosearch.cli.report import Report


@command
def stop(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    at_once: Annotated[
        bool, typer.Option("--now", help="Do not wait for running trials; they go on from their last checkpoint.")
    ] = False,
) -> Report:
    """Ask the process that searches a study to stop; running trials keep their checkpoints and go on at `resume`."""
    from neurosearch.cli.studies import on_study, open_study, searcher

    study = open_study(name, folder, database)
    process = searcher(study)
    if process is None:
        line = f"no process searches {name}; there is nothing to stop."
    else:
        study.request_stop("now" if at_once else "soon")
        how = "at once: running trials" if at_once else "to stop: running trials end with their epoch and"
        line = f"asked {process} {'to stop ' if at_once else ''}{how} keep their checkpoints."
    facts = {"study": name, "searched_by": process, "stop_requested": process is not None}
    return Report(facts, (line,), next=(on_study("status", study), on_study("resume", study)))
