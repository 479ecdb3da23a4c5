"""`neurosearch submit`: the main job, on a cluster."""

from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import ConfigFile, Overrides
from neurosearch.cli.report import Report

JobServer = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="URL",
        help="The cluster's dashboard, such as http://127.0.0.1:8265; its token comes from RAY_AUTH_TOKEN or the file "
        "that RAY_AUTH_TOKEN_PATH names.",
        show_default=False,
    ),
]


@command
def submit(config: ConfigFile, address: JobServer, overrides: Overrides = None) -> Report:
    """Search on a Ray cluster: check everything here and there, submit the job, and say how to follow it."""
    from neurosearch.cluster.package import packed

    package = packed(config, tuple(overrides or ()))
    from neurosearch.cli.submitting import submit_study

    return submit_study(package, address)
