"""`neurosearch resume`: goes on with a study, from its storage alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import (
    NAMESPACE,
    RUNS,
    Database,
    Folder,
    Namespace,
    OnKubernetes,
    Overrides,
    Progress,
    ProgressOption,
    StudyName,
)
from neurosearch.cli.report import Report

ResumeAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="A cluster's dashboard, such as http://127.0.0.1:8265, to submit it there; or as `search` takes it.",
        show_default=False,
    ),
]
if TYPE_CHECKING:
    from neurosearch.config.base import Problem
    from neurosearch.config.load import StudyConfig
    from neurosearch.config.yaml_source import Source
    from neurosearch.search.stored import StoredStudy


@command
def resume(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    overrides: Overrides = None,
    address: ResumeAddress = None,
    progress: ProgressOption = Progress.AUTO,
    kubernetes: OnKubernetes = False,
    namespace: Namespace = NAMESPACE,
) -> Report:
    """Go on with a study that was stopped or killed, or give it a larger budget: --set search.trials=50."""
    if kubernetes:
        from neurosearch.cli.kubernetes import check_asked_there_alone, resumed

        check_asked_there_alone(address)
        return resumed(name, tuple(overrides or ()), namespace)
    from neurosearch.cluster.address import is_job_address

    if address is not None and is_job_address(address):
        from neurosearch.cli.far_status import far_resume

        return far_resume(name, address, folder, database, tuple(overrides or ()))
    from neurosearch.cli.studies import open_study

    stored = open_study(name, folder, database)
    study = as_it_goes_on(stored, tuple(overrides or ()))
    from neurosearch.cli.readiness import check_readiness
    from neurosearch.cli.searching import run_study
    from neurosearch.search.folders import ArtifactsPlace

    notes = check_readiness(study, is_resumed=True, on_cluster=address is not None).notes
    at = replace(stored.folder, artifacts=ArtifactsPlace.of(study.study.storage))
    return run_study(study, at, resume=True, address=address, progress=progress, notes=notes)


def as_it_goes_on(stored: "StoredStudy", overrides: tuple[str, ...]) -> "StudyConfig":
    """Returns a study as it is to go on: as stored, with what is overridden, where it lies now.

    Raises:
        ConfigError: With everything that is wrong.
    """
    from neurosearch.config.base import ConfigError
    from neurosearch.config.load import study_from_mapping
    from neurosearch.config.overrides import with_overrides
    from neurosearch.config.yaml_source import Source

    name = stored.folder.name
    source = with_overrides(Source(stored.config.to_mapping(), {}, name), overrides)
    problems = tuple(_moved(source, stored))
    if problems:
        raise ConfigError(problems)
    where = {"folder": str(stored.folder.root), "database": stored.folder.database}  # it may have been moved
    storage = {**source.values.get("storage", {}), **where}
    return study_from_mapping({**source.values, "storage": storage}, name)


def _moved(source: "Source", stored: "StoredStudy") -> "Iterator[Problem]":
    """Yields what changes say of the study's name and place, which no change of its config moves."""
    from neurosearch.config.base import Problem

    before, storage = stored.config.study, source.values.get("storage")
    if source.values.get("name") != before.name:
        text = f"is the name of the study that is gone on with. Take it out; it stays {before.name}."
        yield Problem(source.place(("name",)), "name", text)
    known = {
        "folder": (before.storage.folder, str(stored.folder.root)),
        "database": (before.storage.database, stored.folder.database),
    }
    for field, places in known.items():
        if isinstance(storage, dict) and storage.get(field, places[0]) not in places:
            text = f"moves no study. Take it out, and say by --{field} where the study lies."
            yield Problem(source.place(("storage", field)), f"storage.{field}", text)
