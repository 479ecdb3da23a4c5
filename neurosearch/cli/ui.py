"""`neurosearch ui`: MLflow's pages on the studies of a folder."""

from typing import Annotated

import typer

from neurosearch.cli.completion import study_names
from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder
from neurosearch.cli.report import FAILED, CommandError, Report, neurosearch, say

_HOST, _PORT = "127.0.0.1", 5000


@command
def ui(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A study, for its tracking server.",
            show_default=False,
            autocompletion=study_names,
        ),
    ] = None,
    folder: Folder = RUNS,
    database: Database = None,
    host: Annotated[str, typer.Option("--host", help="Address of this machine; only loopback ones.")] = _HOST,
    port: Annotated[int, typer.Option("--port", help="TCP port.", min=1, max=65535)] = _PORT,
) -> Report:
    """Show the studies in MLflow's pages until Ctrl-C; only this machine can open them."""
    from neurosearch.cli.studies import on_study, open_study
    from neurosearch.tracking.store import StoreError, choose_store
    from neurosearch.tracking.ui import run_ui, ui_command

    where = [*(() if host == _HOST else ("--host", host)), *(() if port == _PORT else ("--port", port))]
    again, uri = neurosearch("ui", *(() if folder == RUNS else ("--folder", folder)), *where), None
    if name is not None:
        study = open_study(name, folder, database)
        again = on_study("ui", study, *where)
        folder, uri = study.folder.root, study.config.study.tracking.uri
    store = choose_store(folder, uri)
    try:
        ui_command(store, host, port)
    except StoreError as error:
        raise CommandError(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run_ui(
            store, host, port, folder / "ui.log", lambda address: say(f"open {address} in a browser; Ctrl-C ends it")
        )
    except StoreError as error:
        raise CommandError(str(error), code=FAILED) from error
    return Report({"store": store.shown}, ("closed.",), next=(again,))
