"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neurosearch.cli.completion import study_names

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
StudyName = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The study's name.", show_default=False, autocompletion=study_names),
]
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
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="A running Ray cluster that this machine can join as a driver, such as 10.0.0.7:6379; this machine alone "
        "without it.",
        show_default=False,
    ),
]


Cluster = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The dashboard of the cluster that searches it, as `submit` took it; this machine without it.",
        show_default=False,
    ),
]


class Progress(StrEnum):
    """How a search tells what happens while it runs."""

    AUTO = "auto"
    SCREEN = "screen"
    LINES = "lines"
    JSON = "json"


ProgressOption = Annotated[
    Progress,
    typer.Option(
        "--progress",
        help="What to show meanwhile: a live screen, a line for every trial, or JSON lines; auto: a screen on a "
        "terminal, JSON lines elsewhere.",
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Show it live until the search ends or you press Ctrl-C, which leaves the search alone.",
    ),
]
OnKubernetes = Annotated[
    bool, typer.Option("--kubernetes", help="On Kubernetes, by kubectl with your own context; see docs/kubernetes.md.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", metavar="NAME", help="With --kubernetes: the namespace that was installed into.")
]
NAMESPACE = "neurosearch"
SAY_WHERE = "say where: --address URL for a Ray cluster, or --kubernetes."
