"""What `search` and `resume` share: the search with its progress lines, and the summary at its end."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch import names
from neurosearch.cli.frame import INTERRUPTED
from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, CommandError, Report, neurosearch, say
from neurosearch.cli.studies import on_study, study_facts, study_lines
from neurosearch.cli.words import hyperparameters, number, trial_line
from neurosearch.config.load import StudyConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.run import SearchResult, run_search
from neurosearch.search.seams import Record, SilentTracker, Tracker, TrialInfo, TrialSummary
from neurosearch.search.stored import StoredStudy

if TYPE_CHECKING:
    from neurosearch.cli.delivery import Delivery

_SHOWN_SCORES = (names.BALANCED_ACCURACY, names.ACCURACY, names.WORST_CLASS_RECALL)


class ProgressLines:
    """A listener that says one line for every trial that ends."""

    def __init__(self, metric: str) -> None:
        """Takes the name of the objective."""
        self._metric = metric

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Says nothing: the line comes with the result."""

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Says nothing."""

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Says how it ended."""
        say(trial_line(trial, self._metric, best))


def run_study(study: StudyConfig, folder: StudyFolder, *, resume: bool, address: str | None) -> Report:
    """Searches, exports the winner, and reports.

    Raises:
        StudyError: The study cannot be made or gone on with.
        CommandError: Interrupted by a second Ctrl-C.
    """
    search = study.study.search
    say(
        f"study {folder.name} in {folder.path}: {search.trials} trials, {search.concurrency} at a time; Ctrl-C stops it"
    )
    try:
        result = run_search(
            study,
            StudyFolder(folder.root.resolve(), folder.name),  # workers have another working directory
            resume=resume,
            address=address,
            tracker=_tracker(study, folder),
            listener=ProgressLines(search.objectives[0].metric),
        )
    except KeyboardInterrupt as error:
        raise CommandError(
            "interrupted at once; running trials go on from their last checkpoint when the study is resumed.",
            code=INTERRUPTED,
            next_commands=(on_study("resume", folder),),
        ) from error
    stored = StoredStudy(folder)
    remarks = tuple(_synced(stored, result))
    if result.halted is not None:
        return _ended_early(stored, result, (result.halted, *remarks), FAILED)
    if result.stopped:
        line = "stopped; running trials keep their checkpoints and go on when the study is resumed."
        return _ended_early(stored, result, (line, *remarks), 0)
    if result.best is None:
        return _nothing_feasible(stored, result, remarks)
    return _delivered(stored, result, result.best, remarks)


def _tracker(study: StudyConfig, folder: StudyFolder) -> Tracker:
    tracking = study.study.tracking
    if not tracking.enabled:
        return SilentTracker()
    from neurosearch.tracking.mlflow_tracker import MlflowTracker
    from neurosearch.tracking.store import choose_store

    return MlflowTracker(choose_store(folder.root, tracking.uri), tracking.experiment, Path.cwd())


def _synced(study: StoredStudy, result: SearchResult) -> Iterator[str]:
    """Writes at once what the tracker could not, or yields how to do it later."""
    if not result.untold:
        return
    from neurosearch.cli.mlflow_sync import sync_study
    from neurosearch.tracking.store import StoreError

    try:
        sync_study(study, running=False)
    except StoreError as error:
        yield f"MLflow misses a part of this study ({error}) `{on_study('sync', study)}` writes it."


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
