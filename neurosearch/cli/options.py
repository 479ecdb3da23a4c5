"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The study's YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Replace a field of the file, such as training.epochs=5; may be given several times.",
        show_default=False,
    ),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False)]
Folder = Annotated[
    Path, typer.Option("--folder", metavar="FOLDER", help="The folder of all studies (storage.folder of the config).")
]
RUNS = Path("runs")
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="ADDRESS",
        envvar="NEUROSEARCH_DATABASE",
        help="The database that holds the study (storage.database of the config); its password comes from "
        "NEUROSEARCH_DATABASE_PASSWORD.",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="Address of a running Ray cluster; this machine without it."),
]
