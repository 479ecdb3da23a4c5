"""What a search came to: stopped, nothing feasible, or a winner that is exported and set beside its control."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurosearch import names
from neurosearch.cli.frame import INTERRUPTED
from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, OK, CommandError, Report, neurosearch
from neurosearch.cli.studies import on_study, study_facts, study_lines
from neurosearch.cli.words import hyperparameters, number
from neurosearch.search.run import SearchResult
from neurosearch.search.seams import TrialSummary
from neurosearch.search.stored import StoredStudy

if TYPE_CHECKING:
    from neurosearch.cli.delivery import Delivery

_SHOWN_SCORES = (names.BALANCED_ACCURACY, names.ACCURACY, names.WORST_CLASS_RECALL)


def search_report(study: StoredStudy, result: SearchResult, remarks: tuple[str, ...]) -> Report:
    """Exports the winner, if there is one, and tells what came out.

    Args:
        study: The study.
        result: How the search ended.
        remarks: What else the user should know.

    Raises:
        CommandError: The winner cannot be exported, or its export was interrupted.
    """
    if result.halted is not None:
        return _ended_early(study, result, (result.halted, *remarks), FAILED)
    if result.stopped:
        line = "stopped; running trials keep their checkpoints and go on when the study is resumed."
        return _ended_early(study, result, (line, *remarks), OK)
    if result.best is None:
        return _nothing_feasible(study, result, remarks)
    return _delivered(study, result, result.best, remarks)


def _ended_early(study: StoredStudy, result: SearchResult, lines: tuple[str, ...], code: int) -> Report:
    facts = {"ok": code == 0, "stopped": result.stopped, "halted": result.halted, **study_facts(study)}
    return Report(
        facts,
        (*lines, *study_lines(study)),
        next=(on_study("resume", study), on_study("status", study)),
        code=code,
    )


def _nothing_feasible(study: StoredStudy, result: SearchResult, remarks: tuple[str, ...]) -> Report:
    infeasible, failed = result.counts["infeasible"], result.counts["failed"]
    text = (
        f"nothing feasible was found: {infeasible} trials ended above the size limit, {failed} failed. "
        "Raise size_limit, or search smaller networks."
    )
    facts = {"ok": False, "error": text, "exit_code": NOTHING_FEASIBLE, **study_facts(study)}
    return Report(
        facts, (text, *remarks, *study_lines(study)), next=(on_study("status", study),), code=NOTHING_FEASIBLE
    )


def _delivered(study: StoredStudy, result: SearchResult, winner: TrialSummary, remarks: tuple[str, ...]) -> Report:
    from neurosearch.cli.delivery import deliver_trial, winner_facts

    try:
        delivery = deliver_trial(study, winner, study.folder.export)
        best = winner_facts(study, winner)
        control = winner_facts(study, result.control) if result.control is not None else None
    except KeyboardInterrupt as error:
        raise CommandError(
            "interrupted while the winner was exported; the search itself is complete.",
            code=INTERRUPTED,
            next_commands=(on_study("export", study),),
        ) from error
    facts = {
        "ok": True,
        "study": study.folder.name,
        "folder": str(study.folder.path),
        "counts": dict(result.counts),
        "winner": best,
        "control": control,
        "export": delivery.facts(),
        "remarks": list(remarks),
    }
    metric = study.config.study.search.objectives[0].metric
    return Report(
        facts,
        (*_summary(best, control, metric), f"  {hyperparameters(winner)}", *delivery.lines(), *remarks),
        next=_next(study, delivery),
    )


def _summary(winner: Mapping[str, Any], control: Mapping[str, Any] | None, metric: str) -> Iterator[str]:
    """Yields winner and control as a table: size, validation and test scores."""
    scores = dict.fromkeys((metric, *_SHOWN_SCORES))
    shown = [name for name in scores if name in winner["metrics"] and name not in names.SIZES]
    columns = ["", "trial", "growth", "parameters", "neurons"]
    columns += [title for name in shown for title in (name, f"{names.TEST_PREFIX}{name}")]
    rows = [columns, _row("winner", winner, shown)]
    if control is not None and control["number"] != winner["number"]:
        rows.append(_row("control", control, shown))
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    if winner["role"] == "control":
        yield "the winner is the control, the largest static network: changing neurons did not help here."


def _row(name: str, trial: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    metrics, test = trial["metrics"], trial["test"]
    cells = [name, str(trial["number"]), trial["kind"]]
    cells += [f"{metrics[size]:,.0f}" for size in (names.PARAMETERS, names.NEURONS)]
    for score in shown:
        cells += [number(metrics.get(score)), number(test.get(f"{names.TEST_PREFIX}{score}"))]
    return cells


def _next(study: StoredStudy, delivery: "Delivery") -> tuple[str, ...]:
    return (
        on_study("ui", study),
        neurosearch("predict", delivery.exported.folder, "INPUTS"),
        on_study("status", study),
    )
