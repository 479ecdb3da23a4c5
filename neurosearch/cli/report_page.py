"""`neurosearch report`: a study as one page."""

from pathlib import Path
from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, StudyName
from neurosearch.cli.report import CommandError, Report


@command
def report(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write; without it report.html in the study's folder."),
    ] = None,
) -> Report:
    """Write what a study found as one page that needs no network, and add it to the study's run in MLflow."""
    from neurosearch.cli.studies import next_commands, on_study, open_study
    from neurosearch.report.delivering import deliver_report

    if out is not None and out.is_dir():
        raise CommandError(f"{out} is a folder. Name a file in it: --out {out / 'report.html'}.")
    study = open_study(name, folder, database)
    try:
        delivered = deliver_report(study, out)
    except OSError as error:
        raise CommandError(f"the report cannot be written to {error.filename}: {error.strerror}.") from error
    remarks = () if delivered.remark is None else (delivered.remark,)
    in_mlflow = (
        () if delivered.run_id is None else (f"  it is in MLflow too, as an artifact of run {delivered.run_id}",)
    )
    facts = {
        "study": name,
        "path": str(delivered.path),
        "megabytes": round(delivered.path.stat().st_size / 1e6, 2),
        "run_id": delivered.run_id,
        "remarks": list(remarks),
    }
    lines = (f"wrote {delivered.path}: open it in a browser", *in_mlflow, *remarks)
    return Report(facts, lines, next=tuple(each for each in next_commands(study) if each != on_study("report", study)))
