"""What a screen shows of a study, as a value: a pure function of what is known, wherever that came from.

`search` and `resume` know it from the search itself, `status --watch` from the storage; both end here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurosearch.cli.time_left import seconds_left
from neurosearch.config.study import StudyFields
from neurosearch.search.candidates import Candidate
from neurosearch.search.folders import StudyFolder
from neurosearch.search.reached import reached
from neurosearch.search.reports import StoredReport, size_metric
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import counts

State = Literal["starting", "searching", "stopping", "stopped", "complete"]

OUTPUT_LOG = "output.log"
_LOGS = ("ray.log", "mlflow.log", OUTPUT_LOG)


@dataclass(frozen=True)
class Known:
    """All that is known of a study at a moment.

    Attributes:
        folder: Where it lies.
        study: Its config.
        state: How it stands.
        trials: All trials by number.
        reports: Epochs of trials, by the trial's number.
        best: The best feasible trial; None without one.
        seconds: Seconds searched so far, over all processes.
        notes: What went wrong beside the trials, in words, the oldest first.
        work: Long work that goes on beside the trials, such as fetching data, in words.
        now: The time, in seconds since 1970.
        is_own: Whether the process that shows it is the one that searches.
    """

    folder: StudyFolder
    study: StudyFields
    state: State
    trials: tuple[TrialSummary, ...]
    reports: Mapping[int, Sequence[StoredReport]]
    best: TrialSummary | None
    seconds: float
    notes: tuple[str, ...]
    work: tuple[str, ...]
    now: float
    is_own: bool


@dataclass(frozen=True)
class RunningTrial:
    """A trial that runs, or that waits to be gone on with.

    Attributes:
        number: The study's number of the trial.
        kind: Kind of growth.
        role: Why it runs.
        epoch: Whole epochs done, over all its seeds.
        epochs: Epochs it will have at its end, if nothing stops it.
        scores: First objective after each epoch.
        sizes: Size of the network after each epoch; empty where the storage does not tell.
    """

    number: int
    kind: str
    role: str
    epoch: int
    epochs: int
    scores: tuple[float, ...]
    sizes: tuple[float, ...]


@dataclass(frozen=True)
class Screen:
    """What a screen shows.

    Attributes:
        name: Name of the study.
        state: How it stands.
        counts: Trials by state.
        trials_used: Trials that count against the budget.
        trials: The budget.
        seconds: Seconds searched so far.
        seconds_limit: The budget of time; None without one.
        seconds_left: About how long it will still take by the speed so far; None while nothing is measured.
        metrics: Names of the objectives.
        size_metric: What networks are measured by.
        best: The best feasible trial; None without one.
        front: What none dominates, best first; empty with one objective.
        running: Trials that run.
        failures: Number and words of the trials that failed, the newest first.
        notes: What else went wrong, the newest first.
        work: Long work that goes on beside the trials, in words.
        logs: Files that hold what Ray, MLflow and others print.
        commands: What may be typed in another shell meanwhile: to watch, and to stop.
        is_own: Whether the process that shows it is the one that searches.
    """

    name: str
    state: State
    counts: Mapping[str, int]
    trials_used: int
    trials: int
    seconds: float
    seconds_limit: float | None
    seconds_left: float | None
    metrics: tuple[str, ...]
    size_metric: str
    best: TrialSummary | None
    front: tuple[Candidate, ...]
    running: tuple[RunningTrial, ...]
    failures: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]
    work: tuple[str, ...]
    logs: tuple[Path, ...]
    commands: tuple[str, str]
    is_own: bool

    @property
    def is_searched(self) -> bool:
        """Whether a process searches it."""
        return self.state in ("starting", "searching", "stopping")


def screen_of(known: Known) -> Screen:
    """Returns what a screen shows of what is known."""
    study, search, trials = known.study, known.study.search, known.trials
    several = len(search.objectives) > 1
    counted = known.reports if search.candidates == "at_rest" else {}
    failed = [(trial.number, str(trial.reason)) for trial in trials if trial.state == "failed"]
    command = known.folder.command
    return Screen(
        name=known.folder.name,
        state=known.state,
        counts=counts(trials),
        trials_used=sum(trial.role == "search" for trial in trials),
        trials=search.trials,
        seconds=known.seconds,
        seconds_limit=search.time_budget_seconds,
        seconds_left=seconds_left(trials, search, known.seconds, known.now)
        if known.state in ("starting", "searching")
        else None,
        metrics=tuple(objective.metric for objective in search.objectives),
        size_metric=size_metric(study),
        best=known.best,
        front=reached(trials, study, counted).front if several else (),
        running=tuple(_running(each, known.reports.get(each.number, ())) for each in trials if each.state == "running"),
        failures=tuple(reversed(failed)),
        notes=tuple(reversed(known.notes)),
        work=known.work,
        logs=tuple(known.folder.logs / log for log in _LOGS if log != "mlflow.log" or study.tracking.enabled),
        commands=(command("status", "--watch"), command("stop")),
        is_own=known.is_own,
    )


def screen_facts(screen: Screen) -> dict[str, Any]:
    """Returns a screen as plain values, for programs."""
    best = screen.best
    return {
        "study": screen.name,
        "state": screen.state,
        "counts": dict(screen.counts),
        "trials_used": screen.trials_used,
        "trials": screen.trials,
        "seconds": round(screen.seconds, 1),
        "seconds_limit": screen.seconds_limit,
        "seconds_left": None if screen.seconds_left is None else round(screen.seconds_left, 1),
        "best": None if best is None else {"number": best.number, "kind": best.kind, "values": list(best.values)},
        "front": [{"trial": each.trial, "epoch": each.epoch, "values": list(each.values)} for each in screen.front],
        "running": [_running_facts(each) for each in screen.running],
        "failures": [{"number": number, "reason": reason} for number, reason in screen.failures[:3]],
    }


def _running(trial: TrialSummary, reports: Sequence[StoredReport]) -> RunningTrial:
    sizes = [report.size for report in reports if report.size is not None]
    return RunningTrial(
        trial.number,
        trial.kind,
        trial.role,
        max([trial.epochs, *(report.epoch for report in reports)]),
        epochs_of(trial),
        tuple(report.report.values[0] for report in reports),
        tuple(sizes) if len(sizes) == len(reports) else (),
    )


def epochs_of(trial: TrialSummary) -> int:
    """Returns how many epochs a trial has at its end, over all its seeds."""
    epochs: int = trial.config["training"]["epochs"]
    return epochs * len(trial.seeds)


def _running_facts(trial: RunningTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "kind": trial.kind,
        "epoch": trial.epoch,
        "epochs": trial.epochs,
        "score": trial.scores[-1] if trial.scores else None,
        "size": trial.sizes[-1] if trial.sizes else None,
    }
