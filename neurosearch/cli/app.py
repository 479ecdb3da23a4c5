"""All commands under one name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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
from neurosearch.cli.report import Report, neurosearch, show
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


_AS_JSON = "neurosearch.as_json"


class _Commands(TyperGroup):
    """All commands; words that none of them understands are told as JSON, too, where that is asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes the words apart, as typed."""
        ctx.meta[_AS_JSON] = "--json" in args
        with self._telling(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was typed."""
        with self._telling(ctx):
            return super().invoke(ctx)

    @contextmanager
    def _telling(self, ctx: Any) -> Iterator[None]:
        try:
            yield
        except typer.TyperException as error:
            if not ctx.meta[_AS_JSON]:
                raise
            words = [ctx.invoked_subcommand] if ctx.invoked_subcommand else []
            facts = {"ok": False, "error": error.format_message(), "exit_code": error.exit_code}
            show(Report(facts, (), next=(neurosearch(*words, "--help"),)), as_json=True)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    cls=_Commands,
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
