"""`neurosearch search`: the main job, from a config to an exported network."""

from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import Address, ConfigFile, Overrides, Progress, ProgressOption
from neurosearch.cli.report import CommandError, Report, neurosearch


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
) -> Report:
    """Search: check everything, run the trials, export the best network within the size limit."""
    from neurosearch.config.load import load_study

    study = load_study(config, tuple(overrides or ()))
    from neurosearch.cli.readiness import check_readiness, existing_study
    from neurosearch.cli.searching import run_study
    from neurosearch.cli.studies import on_study
    from neurosearch.search.errors import StudyError
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.study import check_name_is_free

    if smoke:
        from neurosearch.cli.smoking import smoke_report

        check_readiness(study, is_resumed=True)  # a study of this name may be there: none is made
        set_words = [word for text in overrides or () for word in ("--set", text)]
        return smoke_report(study, (neurosearch("plan", config, *set_words), neurosearch("search", config, *set_words)))
    folder = StudyFolder.of(study.study)
    existing = existing_study(study)
    if existing is not None and existing.fingerprint() == study.fingerprint():
        if resume:
            notes = check_readiness(study, is_resumed=True, on_cluster=address is not None)
            return run_study(study, folder, resume=True, address=address, progress=progress, notes=notes)
        try:
            check_name_is_free(folder, study)  # another space is told below, with all other problems
        except StudyError as error:
            raise CommandError(
                str(error), next_commands=(on_study("resume", folder), on_study("status", folder))
            ) from error
    notes = check_readiness(study, on_cluster=address is not None)
    return run_study(study, folder, resume=False, address=address, progress=progress, notes=notes)
