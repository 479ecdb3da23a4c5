"""`neurosearch check`: is the config right, and is everything there that it names?"""

from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import ConfigFile, Overrides
from neurosearch.cli.report import Report, neurosearch

if TYPE_CHECKING:
    from neurosearch.cli.data_words import DataWords


@command
def check(
    config: ConfigFile,
    overrides: Overrides = None,
    data: Annotated[
        bool, typer.Option("--data", help="Also open the data, the folders and the storage; takes seconds.")
    ] = False,
) -> Report:
    """Check a config: every wrong field with its line and how to mend it, all at once; nothing is run."""
    from neurosearch.config.load import load_study

    study = load_study(config, tuple(overrides or ()))
    set_words = [word for text in overrides or () for word in ("--set", text)]
    then: tuple[str, ...] = (neurosearch("search", config, *set_words),)
    notes: tuple[str, ...] = ()
    held: tuple[DataWords, ...] = ()
    if data:
        from neurosearch.cli.readiness import check_readiness, is_taken
        from neurosearch.cli.studies import on_study
        from neurosearch.search.folders import StudyFolder

        found = check_readiness(study)
        notes, held = found.notes, found.data
        if is_taken(study):
            folder = StudyFolder.of(study.study)
            then = (on_study("resume", folder), on_study("status", folder))
    names = study.template.names
    facts = {
        "ok": True,
        "config": str(config),
        "study": study.study.name,
        "trials": study.study.search.trials,
        "hyperparameters": list(names),
        "fingerprint": study.fingerprint(),
        "data_checked": data,
        "data": [each.to_dict() for each in held],
        "notes": list(notes),
    }
    line = (
        f"{config}: ok. Study {study.study.name}: {study.study.search.trials} trials over {len(names)} hyperparameters."
    )
    return Report(
        facts,
        (line, *(f"data: {each.line}" for each in held), *(f"note: {note}" for note in notes)),
        next=then,
    )
