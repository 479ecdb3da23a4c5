"""`neurosearch submit`: the main job, on a Ray cluster or on Kubernetes."""

from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import NAMESPACE, SAY_WHERE, ConfigFile, Namespace, OnKubernetes, Overrides
from neurosearch.cli.report import CommandError, Report, neurosearch

JobServer = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The cluster's dashboard, such as http://127.0.0.1:8265; its token comes from RAY_AUTH_TOKEN or the file "
        "that RAY_AUTH_TOKEN_PATH names.",
        show_default=False,
    ),
]


@command
def submit(
    config: ConfigFile,
    address: JobServer = None,
    overrides: Overrides = None,
    kubernetes: OnKubernetes = False,
    namespace: Namespace = NAMESPACE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --kubernetes: print what would be applied, and apply nothing.")
    ] = False,
) -> Report:
    """Search on a cluster: check everything here and there, submit the job, and say how to follow it."""
    if kubernetes == (address is not None):
        raise CommandError(SAY_WHERE)
    if kubernetes:
        from neurosearch.cli.kubernetes import submitted

        return submitted(config, tuple(overrides or ()), namespace, dry_run=dry_run)
    if dry_run:
        raise CommandError(
            "--dry-run prints what --kubernetes would apply; a Ray cluster's job is no manifest. What a search will "
            "take `neurosearch plan` tells, and nothing was submitted.",
            next_commands=(neurosearch("plan", config),),
        )
    from neurosearch.cluster.package import packed

    package = packed(config, tuple(overrides or ()))
    from neurosearch.cli.submitting import submit_study

    assert address is not None
    return submit_study(package, address)
