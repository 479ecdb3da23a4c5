"""`neurosearch export`: writes a trial's network as files that run without this package."""

import os
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
    place = out if out is not None else study.folder.export
    check_rights(place)
    from neurosearch.cli.delivery import deliver_trial

    delivery = deliver_trial(study, chosen, place, epoch)
    return Report(
        {"study": name, **delivery.facts()},
        tuple(delivery.lines()),
        next=(neurosearch("predict", delivery.exported.folder, "INPUTS"), shows(study)),
    )


def check_rights(place: Path) -> None:
    """Refuses a folder that cannot be made, before a network is traced for it.

    Raises:
        CommandError: It cannot.
    """
    from neurosearch.cli.machine_health import existing

    above = existing(place.absolute().parent)
    if not above.is_dir():
        raise CommandError(f"{above} is a file, so {place} cannot be made. Name another folder by --out.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise CommandError(
            f"{place} cannot be written: this user may not write in {above}. Name a folder elsewhere by --out."
        )
