"""`neurosearch stop`: ends a search that another process runs, so that it can go on later."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import NAMESPACE, RUNS, Cluster, Database, Folder, Namespace, OnKubernetes, StudyName
from neurosearch.cli.report import CommandError, Report

if TYPE_CHECKING:
    from neurosearch.search.stored import StoredStudy


@command
def stop(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    at_once: Annotated[
        bool, typer.Option("--now", help="Do not wait for running trials; they go on from their last checkpoint.")
    ] = False,
    address: Cluster = None,
    kubernetes: OnKubernetes = False,
    namespace: Namespace = NAMESPACE,
) -> Report:
    """Ask the process that searches a study to stop; running trials keep their checkpoints and go on at `resume`."""
    if kubernetes:
        from neurosearch.cli.kubernetes import check_asked_there_alone, stopped

        check_asked_there_alone(address)
        return stopped(name, namespace, at_once=at_once)
    if address is not None:
        from neurosearch.cli.far_status import far_stop

        return far_stop(name, address, folder, database, at_once=at_once)
    from neurosearch.cli.studies import on_study, open_study

    study = open_study(name, folder, database)
    return replace(stop_report(study, at_once=at_once), next=(on_study("status", study), on_study("resume", study)))


def stop_report(study: "StoredStudy", *, at_once: bool) -> Report:
    """Asks the process that searches a study to stop, and tells whether there is one."""
    from neurosearch.cli.studies import searcher

    process, name = searcher(study), study.folder.name
    if process is None:
        line = f"no process searches {name}; there is nothing to stop."
    else:
        try:
            study.request_stop("now" if at_once else "soon")
        except PermissionError as error:
            raise CommandError(
                f"{name} is being searched by {process}, and {error.filename} may not be written by this user. Let the "
                "user who searches it stop it."
            ) from error
        how = "at once: running trials" if at_once else "to stop: running trials end with their epoch and"
        line = f"asked {process} {'to stop ' if at_once else ''}{how} keep their checkpoints."
    facts = {"study": name, "searched_by": process, "stop_requested": process is not None}
    return Report(facts, (line,))
