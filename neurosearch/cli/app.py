"""All commands under one name."""

from typing import Annotated

import typer

from neurosearch import __version__
from neurosearch.cli.best import best
from neurosearch.cli.check import check
from neurosearch.cli.compare import compare
from neurosearch.cli.doctor import doctor
from neurosearch.cli.export import export
from neurosearch.cli.front import front
from neurosearch.cli.init import init
from neurosearch.cli.logs import logs
from neurosearch.cli.plan import plan
from neurosearch.cli.predict import predict
from neurosearch.cli.preflight import preflight
from neurosearch.cli.report_page import report
from neurosearch.cli.resume import resume
from neurosearch.cli.schema import schema
from neurosearch.cli.search import search
from neurosearch.cli.status import status
from neurosearch.cli.stop import stop
from neurosearch.cli.submit import submit
from neurosearch.cli.sync import sync
from neurosearch.cli.ui import ui

_COMMANDS = (
    init,
    check,
    schema,
    doctor,
    plan,
    search,
    submit,
    status,
    stop,
    resume,
    best,
    front,
    compare,
    report,
    logs,
    ui,
    export,
    predict,
    sync,
)

app = typer.Typer(
    help="Hyperparameter search for networks whose number of neurons changes while they train.",
    epilog="Exit codes: 0 ok, 2 the config or the command is wrong, 3 the system failed, 4 nothing feasible was found.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _each in _COMMANDS:
    app.command()(_each)
app.command(hidden=True)(preflight)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neurosearch {__version__}")
        raise typer.Exit


@app.callback()
def _all_commands(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Hyperparameter search for networks whose number of neurons changes while they train."""
