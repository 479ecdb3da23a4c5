"""`status`, `stop` and `resume` of a study on a cluster."""

import json
import time
from dataclasses import replace
from pathlib import Path

from neurosearch.cli.afar import FarStudy, far_study, unmade_words
from neurosearch.cli.report import CommandError, Report, finite, neurosearch, say
from neurosearch.cli.submitting import check_nobody_submitted, check_preflight, check_room, started
from neurosearch.cluster.jobs import Job
from neurosearch.config.database import SECRET_OPTION, without_login, without_password
from neurosearch.config.yaml_source import Source

_LOOK_SECONDS = 10.0  # each look starts a process on the head
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.5


def far_status(name: str, address: str, folder: Path, database: str | None, *, watch: bool) -> Report:
    """Tells how a study on a cluster stands; with `watch`, again and again until nobody searches it."""
    report = _status(far_study(name, address, folder, database))
    try:
        while watch and (report.facts.get("searched_by") or report.facts.get("is_starting")):
            say(json.dumps(finite({"event": "status", **report.facts})))
            time.sleep(_LOOK_SECONDS)
            report = _status(far_study(name, address, folder, database))
    except KeyboardInterrupt:  # it ends the watching alone
        pass
    return report


def _status(study: FarStudy) -> Report:
    stored = study.here()
    if stored is None:
        report = study.ask("status")
    else:
        from neurosearch.cli.studies import study_facts, study_lines

        again = ("stop",) if study.job and study.job.runs else ("resume",) if stored.is_unfinished else ()
        report = Report(study_facts(stored), tuple(study_lines(stored)), next=tuple(map(study.command, again)))
    job, is_made = study.job, not report.facts.get("no_study")
    if job is not None and not is_made:
        report = _unmade(study, job, report)
    if job is None or (report.code and is_made):
        return report
    facts = {**report.facts, "job": {"id": job.id, "state": job.state, "message": job.message}}
    follow = ("logs", "--follow") if job.runs else ("logs",)
    lines = (*report.lines, f"job {job.id}: {_words(job)}")
    return replace(report, facts=facts, lines=lines, next=(*report.next, study.command(*follow)))


def far_stop(name: str, address: str, folder: Path, database: str | None, *, at_once: bool) -> Report:
    """Asks the process that searches a study on a cluster to stop; at once, its job is ended if that does not do it."""
    study = far_study(name, address, folder, database)
    report = _asked_to_stop(study, at_once=at_once)
    job = study.job
    if job is not None and report.facts.get("no_study"):
        report = _unmade(study, job, report)
        told = {"searched_by": None, "stop_requested": False}
        report = replace(report, facts={**report.facts, **told}, next=(study.command("status"),))
    if job is None or not job.runs or report.code:
        return report
    requested = report.facts["stop_requested"]
    if not at_once:
        word = "" if requested else f"job {job.id} is at its start or its end; --now ends it there."
        return replace(report, lines=(*report.lines, word)) if word else report
    has_ended = requested and _has_ended(study, job)
    if not has_ended:
        study.server.stop(job.id)
        has_ended = _has_ended(study, job)
    word = f"job {job.id} has ended." if has_ended else f"job {job.id} is told to end, and has not done so yet."
    facts = {**report.facts, "job": job.id, "stop_requested": True}
    return replace(report, facts=facts, lines=(*report.lines, word))


def _unmade(study: FarStudy, job: Job, report: Report) -> Report:
    """Tells that a job has not made its study: not yet, or for good.

    Args:
        study: The study.
        job: Its newest job.
        report: What the head says, which looked for the study in vain.
    """
    if job.runs:
        line = f"{unmade_words(job)}: a search makes it when data and services have been checked."
        facts = {"study": study.folder.name, "is_starting": True}
        return Report(facts, (line,), next=(study.command("stop", "--now"),))
    error = f"{unmade_words(job)}. Mend what its log says, and submit the config again."
    return replace(report, facts={**report.facts, "error": error}, lines=(f"error: {error}",), next=())


def far_resume(name: str, address: str, folder: Path, database: str | None, overrides: tuple[str, ...]) -> Report:
    """Goes on with a study on a cluster, by a new job there.

    Raises:
        ConfigError: With what it asks for and the cluster has not.
        CommandError: A job searches it, or the head has something else against it; or a change holds a secret.
    """
    _check_no_secret(overrides)
    study = far_study(name, address, folder, database)
    check_nobody_submitted(study)
    set_words = [word for text in overrides for word in ("--set", text)]
    found = study.ask("preflight", "--stored", *set_words)
    if study.job is not None and found.facts.get("no_study"):
        raise CommandError(
            f"{unmade_words(study.job)}. Mend what its log says, and submit the config again.",
            next_commands=(study.command("logs"), neurosearch("submit", "CONFIG", "--address", address)),
        )
    stored = Source({}, {}, name)  # what is wrong has no line: it comes from the storage
    check_preflight(found, study.server, stored)
    check_room(found, study.server, stored)
    words = ("resume", name, *study.place, "--address", "auto", *set_words)
    return started(study, found, words, None)


def _check_no_secret(overrides: tuple[str, ...]) -> None:
    """Checks that no change hands over a secret: it would stand in the cluster's list of jobs before it is refused.

    Raises:
        CommandError: One does.
    """
    for text in overrides:
        field, _, value = text.partition("=")
        is_login = value.startswith(("http://", "https://")) and without_login(value) != value
        if is_login or without_password(text) != text or SECRET_OPTION.search(field):
            raise CommandError(
                f"--set {field}=... holds a secret, which the cluster's list of jobs would show. Take it out, and "
                "give it to the head by its environment, as docs/storages.md says."
            )


def _asked_to_stop(study: FarStudy, *, at_once: bool) -> Report:
    stored = study.here()
    if stored is None:
        return study.ask("stop", *(["--now"] if at_once else []))
    from neurosearch.cli.stop import stop_report

    report = stop_report(stored, at_once=at_once)
    return Report(report.facts, report.lines, next=(study.command("status"), study.command("resume")))


def _has_ended(study: FarStudy, job: Job) -> bool:
    until = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < until:
        if study.server.state(job.id) not in ("pending", "running"):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _words(job: Job) -> str:
    return f"{job.state}. {job.message.splitlines()[0]}" if job.message else job.state
