"""Trials and studies in words and as facts: pure functions over what the search knows."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from neurosearch import names
from neurosearch.numbers import number
from neurosearch.search.seams import Role, TrialSummary

if TYPE_CHECKING:
    from neurosearch.search.stored import StoredStudy


def trial_line(trial: TrialSummary, metric: str, best: TrialSummary | None) -> str:
    """Tells an ended trial in one line: number, growth, objective, size, seconds, and the best so far."""
    parts = [f"trial {trial.number:>3}", f"{trial.kind:<8}", _result(trial, metric)]
    if trial.metrics:
        parts.append(size(trial.metrics))
    if trial.seconds is not None:
        parts.append(f"{trial.seconds:.1f} s")
    if trial.role != "search":
        parts.append(f"{role_words(trial.role)}, {seeds(trial)}")
    elif best is not None:
        is_it = best.number == trial.number
        parts.append("the best so far" if is_it else f"best {number(metric, best.value)} ({best.number})")
    else:
        parts.append("nothing feasible yet")
    return "  ".join(parts)


def state_words(study: "StoredStudy", process: str | None) -> str:
    """Tells how far a study is.

    Args:
        study: The study.
        process: Which living process searches it; None when none does.
    """
    if process:
        return f"{'stopping' if study.stop_requested else 'searching'} ({process})"
    if study.is_unfinished:
        return "stopped; it can go on"
    is_short = study.num_searched < study.config.study.search.trials
    return f"complete: {study.enough}" if is_short else "complete"


def role_words(role: Role) -> str:
    """Tells why a trial runs."""
    match role:
        case "search":
            return "searched"
        case "finalist":
            return "a finalist"
        case "control":
            return "the control"
        case _:
            return f"arm {role}"


def seeds(trial: TrialSummary) -> str:
    """Tells how many seeds a trial is trained on."""
    return f"{len(trial.seeds)} seed{'s' if len(trial.seeds) > 1 else ''}"


def size(metrics: Mapping[str, float]) -> str:
    """Tells the size of a network."""
    return f"{metrics[names.PARAMETERS]:,.0f} parameters, {metrics[names.NEURONS]:,.0f} neurons"


def duration(seconds: float) -> str:
    """Writes a time as people read it, such as `2 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def trial_facts(trial: TrialSummary) -> dict[str, Any]:
    """Returns a trial as plain values for JSON, without its whole config."""
    return {
        "number": trial.number,
        "role": trial.role,
        "kind": trial.kind,
        "state": trial.state,
        "value": trial.value,
        "values": list(trial.values),
        "seeds": list(trial.seeds),
        "per_seed": [dict(metrics) for metrics in trial.per_seed],
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "epochs": trial.epochs,
        "seconds": trial.seconds,
        "reason": trial.reason,
        "run_id": trial.run_id,
    }


def hyperparameters(trial: TrialSummary) -> str:
    """Tells the searched values of a trial."""
    values = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
    return values or "nothing of its own was searched"


def failures(trials: Iterable[TrialSummary], most: int = 3) -> Iterable[str]:
    """Yields why the last failed trials failed."""
    failed = [trial for trial in trials if trial.state == "failed"]
    for trial in failed[-most:]:
        yield f"trial {trial.number} failed: {trial.reason}"


def _result(trial: TrialSummary, metric: str) -> str:
    match trial.state:
        case "failed":
            return f"failed: {trial.reason}"
        case "infeasible":
            return f"{metric} {number(metric, trial.value)}, beyond a bound"
        case "stopped":
            return f"{trial.reason}"
        case _:
            return f"{metric} {number(metric, trial.value)}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
