"""`neurosearch preflight`: what `submit` has the head check before a study's job starts there."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurosearch import __version__
from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, Overrides
from neurosearch.cli.report import CommandError, Report

if TYPE_CHECKING:
    from neurosearch.config.load import StudyConfig


@command
def preflight(
    study: Annotated[str, typer.Argument(metavar="CONFIG", help="The config that travelled here.", show_default=False)],
    stored: Annotated[bool, typer.Option("--stored", help="CONFIG is the name of a study that is there.")] = False,
    folder: Folder = RUNS,
    database: Database = None,
    overrides: Overrides = None,
) -> Report:
    """Check on a cluster's head what a search will need there, and tell what it will take."""
    config = _stored(study, folder, database, tuple(overrides or ())) if stored else _arrived(Path(study))
    from neurosearch.cli.planning import plan_facts, plan_lines
    from neurosearch.cli.readiness import check_readiness, existing_study
    from neurosearch.search.coming_nodes import coming_nodes

    existing = existing_study(config)
    goes_on = existing is not None and existing.fingerprint() == config.fingerprint()
    _check_nobody_searches(config)
    notes = check_readiness(config, is_resumed=goes_on, on_cluster=True).notes
    plan = plan_facts(config)
    facts = {
        "ok": True,
        "neurosearch": __version__,
        "ray": metadata.version("ray"),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "may_grow": [node.resources for node in coming_nodes()],
        "search": config.study.search.model_dump(mode="json"),
        "goes_on": goes_on,
        "notes": list(notes),
        "plan": plan,
    }
    return Report(facts, tuple(plan_lines(plan)))


def _arrived(path: Path) -> "StudyConfig":
    """Returns the config that travelled, once the files that travelled with it lie where it names them."""
    from neurosearch.cluster.package import place
    from neurosearch.config.load import load_study
    from neurosearch.search.folders import StudyFolder

    config = load_study(path)
    place(path.resolve().parent, StudyFolder.of(config.study))
    return config


def _stored(name: str, folder: Path, database: str | None, overrides: tuple[str, ...]) -> "StudyConfig":
    from neurosearch.cli.resume import as_it_goes_on
    from neurosearch.cli.studies import open_study

    return as_it_goes_on(open_study(name, folder, database), overrides)


def _check_nobody_searches(config: "StudyConfig") -> None:
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.lock import holder

    folder = StudyFolder.of(config.study)
    process: Any = holder(folder)
    if process is not None:
        raise CommandError(f"the study {folder.name!r} is being searched already, by {process}.")
