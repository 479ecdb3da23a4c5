"""`neurosearch resume`: goes on with a study, from its storage alone."""

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Address, Database, Folder, Overrides, Progress, ProgressOption, StudyName
from neurosearch.cli.report import Report


@command
def resume(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    overrides: Overrides = None,
    address: Address = None,
    progress: ProgressOption = Progress.AUTO,
) -> Report:
    """Go on with a study that was stopped or killed, or give it a larger budget: --set search.trials=50."""
    from neurosearch.cli.studies import open_study
    from neurosearch.config.load import study_from_mapping
    from neurosearch.config.overrides import with_overrides
    from neurosearch.config.yaml_source import Source

    stored = open_study(name, folder, database)
    source = with_overrides(Source(stored.config.to_mapping(), {}, name), tuple(overrides or ()))
    where = {"folder": str(stored.folder.root), "database": stored.folder.database}  # it may have been moved
    storage = {**source.values.get("storage", {}), **where}
    study = study_from_mapping({**source.values, "storage": storage}, name)
    from neurosearch.cli.readiness import check_readiness
    from neurosearch.cli.searching import run_study

    notes = check_readiness(study, is_resumed=True, on_cluster=address is not None)
    return run_study(study, stored.folder, resume=True, address=address, progress=progress, notes=notes)
