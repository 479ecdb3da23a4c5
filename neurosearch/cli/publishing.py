"""What MLflow shows of a whole study once its search has ended: description, best scores, front and all trials."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch import names
from neurosearch.cli.mlflow_sync import study_store
from neurosearch.cli.studies import on_study, outcome_facts, study_lines
from neurosearch.report.delivering import upload_report, write_report
from neurosearch.search.answer import answered
from neurosearch.search.seams import TrialSummary
from neurosearch.tracking.store import StoreError
from neurosearch.tracking.study_page import StudyPage, holds_study_page, write_study_page
from neurosearch.tracking.titles import study_note

if TYPE_CHECKING:
    from neurosearch.search.stored import StoredStudy

FRONT_TABLE, FRONT_FACTS, TRIALS_TABLE = "front.csv", "front.json", "trials.csv"


def last_lines(study: "StoredStudy") -> Iterator[str]:
    """Writes the report of a study whose search has ended, and tells MLflow what came out.

    Yields:
        Where the report lies, or how to have it later; and how MLflow gets what it does not take now.
    """
    is_tracked = study.config.study.tracking.enabled
    later = f"`{on_study('sync' if is_tracked else 'report', study)}`"
    try:
        path = write_report(study)
    except OSError as error:
        yield f"the report cannot be written: {error}. {later} writes it."
        return
    yield f"report: {path}"
    if is_tracked:
        try:
            publish(study, path)
        except StoreError as error:
            yield f"{str(error).rstrip('.')}. {later} writes them."


def publish(study: "StoredStudy", report: Path | None = None) -> int:
    """Writes on the study's run in MLflow what came out, the report with it; what is there is not written again.

    Args:
        study: A study that no process searches.
        report: Its report, if it was written just now.

    Returns:
        How many files were written; 0 where MLflow does not know the study.

    Raises:
        StoreError: MLflow does not take it; all is written again next time.
        OSError: The study's folder does not take the report.
    """
    run_id = study.info.run_id
    if run_id is None:
        return 0
    store, page = study_store(study), study_page(study)
    if holds_study_page(store, run_id, page):
        return 0
    upload_report(study, run_id, report or write_report(study))
    ended = max((trial.ended for trial in study.trials() if trial.ended is not None), default=0.0)
    return 1 + write_study_page(store, run_id, page, round(1000 * ended))


def study_page(study: "StoredStudy") -> StudyPage:
    """Returns what the study's run tells."""
    facts = outcome_facts(study)
    return StudyPage(
        note=_note(study),
        tags=dict(_tags(study)),
        metrics=dict(_metrics(study)),
        files={
            FRONT_FACTS: json.dumps(facts, indent=1),
            FRONT_TABLE: _front_table(study),
            TRIALS_TABLE: _trials_table(study),
        },
    )


def _note(study: "StoredStudy") -> str:
    """Returns the same words as `status` says, as a list in Markdown."""
    _, *lines = study_lines(study)
    told = "\n".join(f"- {line.strip()}" for line in lines)
    commands = "\n".join(f"    {on_study(command, study)}" for command in ("status", "best", "export"))
    return f"{study_note(study.info)}\n\n{told}\n\nOn the machine that searched:\n\n{commands}\n"


def _tags(study: "StoredStudy") -> Iterator[tuple[str, str]]:
    best, answer = study.best(), answered(study.trials(), study.config.study)
    if best is not None:
        yield names.BEST_TRIAL_TAG, str(best.number)
    if answer is not None:
        yield names.ANSWER_TAG, answer.comparisons[0].answer


def _metrics(study: "StoredStudy") -> Iterator[tuple[str, float]]:
    best, objectives = study.best(), study.config.study.search.objectives
    if best is None:
        return
    for name in dict.fromkeys((*(each.metric for each in objectives), *names.SIZES)):
        if name in best.metrics:
            yield f"{names.BEST_PREFIX}{name}", best.metrics[name]
    if len(objectives) > 1:
        yield names.HYPERVOLUME, study.reached().hypervolume


def _front_table(study: "StoredStudy") -> str:
    metrics = [objective.metric for objective in study.config.study.search.objectives]
    rows = [[each.trial, each.epoch, each.kind, *each.values] for each in study.reached().front]
    return _csv(["trial", "epoch", "growth", *metrics], rows)


def _trials_table(study: "StoredStudy") -> str:
    trials = study.trials()
    metrics = [each.metric for each in study.config.study.search.objectives]
    sizes = [size for size in names.SIZES if size not in metrics]
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    return _csv(
        ["trial", "role", "growth", "state", *metrics, *sizes, "epochs", "seconds", *params, "reason"],
        [_row(trial, [*metrics, *sizes], params) for trial in trials],
    )


def _row(trial: TrialSummary, metrics: Sequence[str], params: Sequence[str]) -> list[Any]:
    return [
        trial.number,
        trial.role,
        trial.kind,
        trial.state,
        *(trial.metrics.get(metric) for metric in metrics),
        trial.epochs,
        trial.seconds,
        *(_plain(trial.params.get(name)) for name in params),
        trial.reason,
    ]


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
