"""What `submit`, `status`, `stop` and `resume` do with --kubernetes: through kubectl, with the user's own context."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neurosearch.cli.options import NAMESPACE, SAY_WHERE
from neurosearch.cli.report import FAILED, OK, CommandError, Report, neurosearch
from neurosearch.cluster.kubectl import Kubectl, KubectlProcess
from neurosearch.cluster.on_kubernetes import (
    Standing,
    ask_head,
    check_secrets,
    settings_of,
    standing,
    stop_now,
    stored_study,
    submit,
)
from neurosearch.cluster.ray_job import job_name, load_for_kubernetes, on_cluster, render, to_text
from neurosearch.cluster.settings import ClusterSettings
from neurosearch.config.load import StudyConfig
from neurosearch.search.folders import StudyFolder

_FIRST_MINUTES = "a search makes its study in its first minutes, when data and services have been checked; ask again."


def submitted(
    config: Path,
    overrides: tuple[str, ...],
    namespace: str,
    *,
    dry_run: bool,
    kubectl: Kubectl | None = None,
) -> Report:
    """Submits a config as a RayJob, or only prints what would be applied.

    Raises:
        ConfigError: With everything that is wrong with it, what no pool of nodes offers included.
        ClusterError: The cluster cannot be used as asked; nothing was started.
    """
    study = load_for_kubernetes(config, overrides)
    job_name(study.study.name)  # a name that does not fit needs no cluster to be told
    asked = kubectl or KubectlProcess(namespace)
    settings = settings_of(asked, namespace)
    objects = render(study, settings)
    notes = check_secrets(asked, namespace)
    if dry_run:
        lines = (*(f"# {note}" for note in notes), to_text(objects).rstrip())
        return Report({"ok": True, "objects": objects, "notes": list(notes)}, lines)
    return _started(study, asked, settings, notes)


def resumed(name: str, overrides: tuple[str, ...], namespace: str, kubectl: Kubectl | None = None) -> Report:
    """Submits again what was submitted under this name, with changes; the study goes on from its storage."""
    asked = kubectl or KubectlProcess(namespace)
    settings = settings_of(asked, namespace)
    study = stored_study(name, asked, overrides)
    return _started(study, asked, settings, check_secrets(asked, namespace))


def standing_report(name: str, namespace: str, kubectl: Kubectl | None = None) -> Report:
    """Tells how a search stands: KubeRay's word, what pods wait for, and the study itself while its head runs."""
    asked = kubectl or KubectlProcess(namespace)
    now = standing(job_name(name), asked)
    if now.deployment is None:
        raise CommandError(_no_job(now, namespace), next_commands=(_again("resume", name, namespace),))
    study = _asked("status", name, now, asked)
    facts: dict[str, Any] = {
        "study": name,
        "job": now.name,
        "deployment": now.deployment,
        "job_status": now.job,
        "message": now.message,
        "waiting": list(now.waiting),
        "standing": study,
    }
    code = FAILED if now.deployment in ("Failed", "ValidationFailed") else OK
    return Report(facts, tuple(_lines(now, study)), next=tuple(_next(now, name, namespace)), code=code)


def stopped(name: str, namespace: str, *, at_once: bool, kubectl: Kubectl | None = None) -> Report:
    """Asks a search to end with its running trials' epoch, or ends it and its cluster at once."""
    asked = kubectl or KubectlProcess(namespace)
    now = standing(job_name(name), asked)
    again = (_again("resume", name, namespace), _again("status", name, namespace))
    if now.has_ended:
        line = f"no RayJob searches {name} in namespace {namespace}; there is nothing to stop."
        return Report({"study": name, "stop_requested": False}, (line,), next=again)
    if at_once:
        stop_now(now.name, asked)
        line = f"ended {now.name} with its cluster; trials go on from their last checkpoint when it is resumed."
        return Report({"study": name, "stop_requested": True}, (line,), next=again)
    facts = _asked("stop", name, now, asked)
    if facts is None or not facts.get("stop_requested"):
        raise CommandError(
            f"{now.name} is {now.deployment}, and no search runs on its head yet that could be asked. Use --now.",
            next_commands=(_again("stop", name, namespace, "--now"),),
        )
    line = f"asked {now.name} to stop: running trials end with their epoch and keep their checkpoints."
    return Report({"study": name, "stop_requested": True}, (line,), next=again)


def check_asked_there_alone(address: str | None, *, watch: bool = False) -> None:
    """Checks that nothing was typed that --kubernetes would leave aside.

    Raises:
        CommandError: Something was.
    """
    if address is not None:
        raise CommandError(SAY_WHERE)
    if watch:
        raise CommandError(
            "--watch shows a search of this machine or of a Ray cluster. Take it out: with --kubernetes `status` tells "
            "how the search stands now, and names the command that follows its log."
        )


def _started(study: StudyConfig, kubectl: Kubectl, settings: ClusterSettings, notes: tuple[str, ...]) -> Report:
    name = submit(study, kubectl, settings)
    facts = {"ok": True, "study": study.study.name, "job": name, "namespace": settings.namespace, "notes": list(notes)}
    folder = StudyFolder.of(on_cluster(study, settings).study)
    lines = (*(f"note: {note}" for note in notes), f"RayJob {name} searches {study.study.name}, kept in {folder.place}")
    job = Standing(name, "Initializing", None, "", None, ())
    return Report(facts, lines, next=tuple(_next(job, study.study.name, settings.namespace)))


def _asked(command: str, name: str, now: Standing, kubectl: Kubectl) -> Mapping[str, Any] | None:
    """Asks a search's head by a command of ours; None where none runs, whatever became of the study's config."""
    if now.head is None:
        return None
    folder = StudyFolder.of(stored_study(name, kubectl, ()).study)
    return ask_head(now, kubectl, (command, name, *folder.options))


def _lines(now: Standing, study: Any) -> Iterator[str]:
    ray = f", its job {now.job}" if now.job else ""
    yield f"RayJob {now.name}: {now.deployment}{ray}"
    if now.message:
        yield f"  {now.message}"
    yield from (f"  {each}" for each in now.waiting)
    if study is None and now.is_starting:
        yield f"its head does not run yet; {_FIRST_MINUTES}"
        return
    if study is None:
        yield "its head does not run, so the study itself cannot be asked; MLflow has what it told."
        if now.has_ended:
            yield f"whether the study is finished, and if not why, says the last line of job/{now.name}'s log."
        return
    if not study.get("ok", True):
        yield f"the study cannot be told: {study.get('error')}"
        if not now.has_ended:
            yield _FIRST_MINUTES
        elif study.get("no_study"):
            yield f"why it was not made says the last line of job/{now.name}'s log."
        return
    counts = ", ".join(f"{count} {state}" for state, count in study.get("counts", {}).items() if count) or "none yet"
    budget = study.get("budget", {})
    yield f"trials: {budget.get('trials_used')} of {budget.get('trials')} ({counts})"
    if now.has_ended and study.get("unfinished"):
        yield f"the study is not finished; why its driver ended says the last line of job/{now.name}'s log."
    best = study.get("best")
    yield f"best: trial {best['number']}, {best.get('value')}" if best else "best: nothing feasible yet"


def _next(now: Standing, name: str, namespace: str) -> Iterator[str]:
    at = ["kubectl", f"--namespace={namespace}"]
    if now.has_ended:
        yield _again("resume", name, namespace)
        yield " ".join([*at, "logs", f"job/{now.name}"])
    elif now.is_starting:  # the job that has the log comes when the cluster is there, and so does who could be asked
        yield _again("status", name, namespace)
        yield _again("stop", name, namespace, "--now")
    else:
        yield _again("status", name, namespace)
        yield " ".join([*at, "logs", "--follow", f"job/{now.name}"])
        yield _again("stop", name, namespace)
    yield " ".join([*at, "port-forward", "service/mlflow", "5000"])


def _again(command: str, name: str, namespace: str, *words: str) -> str:
    where = [] if namespace == NAMESPACE else ["--namespace", namespace]
    return neurosearch(command, name, "--kubernetes", *where, *words)


def _no_job(now: Standing, namespace: str) -> str:
    return f"there is no RayJob {now.name} in namespace {namespace}: it was stopped, or never submitted."
