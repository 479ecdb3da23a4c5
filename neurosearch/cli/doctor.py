"""`neurosearch doctor`: is everything here that a search needs?"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Address, Database, Folder
from neurosearch.cli.report import FAILED, OK, Report, neurosearch

if TYPE_CHECKING:
    from neurosearch.cli.machine_health import Finding


@command
def doctor(
    folder: Folder = RUNS,
    database: Database = None,
    uri: Annotated[
        str | None,
        typer.Option("--tracking", metavar="ADDRESS", help="MLflow's server (tracking.uri).", show_default=False),
    ] = None,
    address: Address = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Examine what this config names: storage, bucket and MLflow."),
    ] = None,
) -> Report:
    """Examine this machine in seconds: versions, GPU, compiler, memory, Ray, storage, MLflow, disk, clock; no trial."""
    from neurosearch.config.database import without_login, without_password

    asked = {
        "--folder": None if folder == RUNS else folder,
        "--database": database and without_password(database),
        "--tracking": uri and without_login(uri),
        "--address": address,
        "--config": config,
    }
    again = neurosearch("doctor", *(word for option, value in asked.items() if value for word in (option, value)))
    named: tuple[Callable[[], Finding], ...] = ()
    compiles = False
    if config is not None:
        from neurosearch.cli.readiness import compiling_corner
        from neurosearch.cli.service_health import artifacts
        from neurosearch.config.load import load_study

        loaded = load_study(config)
        study, compiles = loaded.study, compiling_corner(loaded) is not None
        folder = Path(study.storage.folder) if folder == RUNS else folder
        database, uri = database or study.storage.database, uri or study.tracking.uri
        named = (partial(artifacts, study),)
    from neurosearch.cli.machine_health import clock, compiler, disk, gpu, memory, versions
    from neurosearch.cli.service_health import mlflow, ray, storage

    checks: tuple[Callable[[], Finding], ...] = (
        versions,
        gpu,
        partial(compiler, compiles),
        memory,
        partial(ray, address),
        partial(storage, folder, database),
        *named,
        partial(mlflow, folder, uri),
        partial(disk, folder),
        partial(clock, folder),
    )
    with ThreadPoolExecutor(len(checks)) as pool:  # most of them wait: for PyTorch, for servers
        findings = [future.result() for future in [pool.submit(check) for check in checks]]
    wrong = sum(finding.state == "wrong" for finding in findings)
    facts = {"ok": not wrong, "findings": [finding.facts() for finding in findings]}
    return Report(
        facts,
        tuple(finding.line for finding in findings),
        next=(again,) if wrong else (neurosearch("init"),),
        code=FAILED if wrong else OK,
    )
