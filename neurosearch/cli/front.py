"""`neurosearch front`: the networks of a study that none dominates."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder, StudyName
from neurosearch.cli.report import NOTHING_FEASIBLE, CommandError, Report

if TYPE_CHECKING:
    from neurosearch.search.reached import Reached
    from neurosearch.search.stored import StoredStudy


@command
def front(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    epochs: Annotated[
        bool | None,
        typer.Option(
            "--epochs/--final",
            help="Count every epoch at which a network's size was at rest, or final networks alone; as "
            "search.candidates of the config says without either.",
            show_default=False,
        ),
    ] = None,
) -> Report:
    """Show the front of a study with several objectives: each network that no other beats in all of them."""
    from neurosearch.cli.studies import next_commands, on_study, open_study

    study = open_study(name, folder, database)
    search = study.config.study.search
    if len(search.objectives) == 1:
        raise CommandError(
            f"the study {name!r} has one objective, {search.objectives[0].metric}, so its front is its best trial. "
            "A front needs several under search.objectives.",
            next_commands=(on_study("best", study),),
        )
    kept = search.candidates == "at_rest"
    found = _reached(study, kept if epochs is None else epochs)
    facts = {"study": name, "epochs_are_kept": kept, **_facts(study, found)}
    if not found.front:
        text = f"no trial of {name!r} is feasible yet: none has ended within the size limit and the constraints."
        facts |= {"ok": False, "error": text, "exit_code": NOTHING_FEASIBLE}
        return Report(facts, (text,), next=next_commands(study), code=NOTHING_FEASIBLE)
    first = found.front[0]
    words = (
        ("--trial", first.trial)
        if first.epoch is None or not kept
        else ("--trial", first.trial, "--epoch", first.epoch)
    )
    return Report(
        facts, tuple(_lines(study, found, kept)), next=(on_study("export", study, *words), on_study("status", study))
    )


def _reached(study: "StoredStudy", epochs: bool) -> "Reached":
    from neurosearch.search.reached import reached

    fields, trials = study.config.study, study.trials()
    if epochs and fields.search.seeds > 1:
        raise CommandError(
            f"each trial of {study.folder.name!r} trains {fields.search.seeds} networks, one for each of search.seeds, "
            "so no epoch of it is one network. Leave --epochs out."
        )
    counted = [trial.number for trial in trials if epochs and trial.role == "search"]
    return reached(trials, fields, {number: study.reports(number) for number in counted})


def _facts(study: "StoredStudy", found: "Reached") -> dict[str, Any]:
    metrics = [objective.metric for objective in study.config.study.search.objectives]
    objectives = [objective.model_dump(mode="json") for objective in study.config.study.search.objectives]
    facts = found.facts()
    facts["front"] = [
        {**each, "kind": candidate.kind, "metrics": dict(zip(metrics, candidate.values, strict=True))}
        for each, candidate in zip(facts["front"], found.front, strict=True)
    ]
    return {"objectives": objectives, **facts}


def _lines(study: "StoredStudy", found: "Reached", kept: bool) -> Iterator[str]:
    from neurosearch.cli.studies import reached_lines

    yield from reached_lines([objective.metric for objective in study.config.study.search.objectives], found)
    if not kept and any(each.epoch is not None for each in found.front):
        yield "epochs are shown and cannot be exported: their networks are kept with search.candidates: at_rest only."
