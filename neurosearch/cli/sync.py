"""`neurosearch sync`: writes what MLflow missed."""

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, StudyName
from neurosearch.cli.report import FAILED, CommandError, Report


@command
def sync(name: StudyName, folder: Folder = RUNS, database: Database = None) -> Report:
    """Write what MLflow missed of a study, from the study's own storage; what it holds already stays as it is."""
    from neurosearch.cli.mlflow_sync import study_store, sync_study
    from neurosearch.cli.publishing import publish
    from neurosearch.cli.studies import on_study, open_study, searcher
    from neurosearch.tracking.store import StoreError

    study = open_study(name, folder, database)
    if not study.config.study.tracking.enabled:
        raise CommandError(f"the study {name!r} keeps nothing in MLflow: its config says tracking.enabled: false.")
    is_searched = searcher(study) is not None
    try:
        report = sync_study(study, running=is_searched)
        if not is_searched:
            report.files += publish(study)
    except StoreError as error:
        raise CommandError(str(error), code=FAILED, next_commands=(on_study("sync", study),)) from error
    facts = {
        "study": name,
        "store": study_store(study).shown,
        "written": report.written,
        "runs": report.runs,
        "entries": report.entries,
        "files": report.files,
        "statuses": report.statuses,
        "refused": {str(number): reason for number, reason in report.refused.items()},
    }
    if report.written:
        line = (
            f"{study_store(study).shown}: wrote {report.runs} runs, {report.entries} values, {report.files} files and "
            f"the end of {report.statuses} runs."
        )
    else:
        line = f"{study_store(study).shown} holds everything already; nothing was written."
    return Report(facts, (line, *report.refused.values()), next=(on_study("ui", study), on_study("status", study)))
