"""`neurosearch export`: writes a trial's network as files that run without this package."""

from pathlib import Path
from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, StudyName
from neurosearch.cli.report import NOTHING_FEASIBLE, CommandError, Report, neurosearch


@command
def export(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    trial: Annotated[
        int | None, typer.Option("--trial", help="Number of the trial; the best feasible one without it.", min=0)
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option("--epoch", help="Epoch of the trial, one that status lists on the front.", min=1),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where the files go; the study's own folder without it."),
    ] = None,
) -> Report:
    """Write a trial's network as pt2, ONNX and safetensors, each loaded back and compared before it counts."""
    from neurosearch.cli.studies import next_commands, open_study, shows

    study = open_study(name, folder, database)
    if epoch is not None and trial is None:
        raise CommandError("--epoch names an epoch of one trial. Name the trial, too, by --trial.")
    chosen = study.best() if trial is None else study.trial(trial)
    if chosen is None:
        raise CommandError(
            f"no trial of {name!r} is feasible yet: none has ended within the size limit.",
            code=NOTHING_FEASIBLE,
            next_commands=next_commands(study),
        )
    from neurosearch.cli.delivery import deliver_trial

    delivery = deliver_trial(study, chosen, out if out is not None else study.folder.export, epoch)
    return Report(
        {"study": name, **delivery.facts()},
        tuple(delivery.lines()),
        next=(neurosearch("predict", delivery.exported.folder, "INPUTS"), shows(study)),
    )
