"""`neurosearch search`: the main job, from a config to an exported network."""

from pathlib import Path
from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import Address, ConfigFile, Overrides, Progress, ProgressOption
from neurosearch.cli.report import Report, neurosearch


@command
def search(
    config: ConfigFile,
    overrides: Overrides = None,
    address: Address = None,
    progress: ProgressOption = Progress.AUTO,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Only try one tiny trial through everything, in a folder apart.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study of this name if there is one; start it if not.")
    ] = False,
    checked: Annotated[
        bool, typer.Option("--checked", help="For `submit`, which has had everything checked just now.", hidden=True)
    ] = False,
    retried: Annotated[
        bool,
        typer.Option("--retried", help="For a RayJob: fail only where another start may help, else end.", hidden=True),
    ] = False,
) -> Report:
    """Search: check everything, run the trials, export the best network within the size limit."""
    if retried:
        from neurosearch.cli.retried import worth_another_start

        arguments = {"config": config, "overrides": overrides, "data": True}
        return worth_another_start(
            lambda: _searched(config, overrides, address, progress, resume=resume, checked=checked), arguments
        )
    if smoke:
        return _tried(config, overrides)
    return _searched(config, overrides, address, progress, resume=resume, checked=checked)


def _searched(
    config: Path, overrides: list[str] | None, address: str | None, progress: Progress, *, resume: bool, checked: bool
) -> Report:
    from neurosearch.config.load import load_study

    study = load_study(config, tuple(overrides or ()))
    from neurosearch.cli.searching import search_study

    return search_study(study, resume=resume, address=address, progress=progress, checked=checked)


def _tried(config: Path, overrides: list[str] | None) -> Report:
    from neurosearch.config.load import load_study

    study = load_study(config, tuple(overrides or ()))
    set_words = [word for text in overrides or () for word in ("--set", text)]
    from neurosearch.cli.readiness import check_readiness
    from neurosearch.cli.smoking import smoke_report

    check_readiness(study, is_resumed=True)  # a study of this name may be there: none is made
    return smoke_report(study, (neurosearch("plan", config, *set_words), neurosearch("search", config, *set_words)))
