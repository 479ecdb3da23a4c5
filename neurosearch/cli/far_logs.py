"""`logs` of a study on a cluster: what its job says."""

from collections.abc import Iterator
from pathlib import Path

from neurosearch.cli.afar import FarStudy, far_study, unmade_words
from neurosearch.cli.report import CommandError, Report, say
from neurosearch.cluster.jobs import Job


def far_logs(
    name: str, address: str, folder: Path, database: str | None, *, trial: int | None, lines: int, follow: bool
) -> Report:
    """Tells what the newest job of a study says, or why one of its trials failed.

    Raises:
        CommandError: The head knows no job of the study.
    """
    study = far_study(name, address, folder, database)
    if trial is not None:
        return _of_trial(study, trial)
    if study.job is None:
        raise CommandError(
            f"the head at {study.server.address.url} knows no job of {name}; the logs of earlier heads are gone with "
            "them.",
            next_commands=(study.command("status"), study.command("resume")),
        )
    return _follow(study, study.job, lines) if follow else _report(study, study.job, lines)


def _of_trial(study: FarStudy, trial: int) -> Report:
    """Asks the head why a trial failed.

    Raises:
        CommandError: There is no study, so there is no trial.
    """
    report, job = study.ask("logs", "--trial", trial), study.job
    if job is None or not report.facts.get("no_study"):
        return report
    raise CommandError(
        f"{unmade_words(job)}. So there is no trial {trial}; look at what the job itself says.",
        next_commands=(study.command("logs", *(("--follow",) if job.runs else ())),),
    )


def _report(study: FarStudy, job: Job, most: int) -> Report:
    last = study.server.log(job.id).splitlines()[-most:] if most else []
    facts = {"study": study.folder.name, "job": job.id, "state": job.state, "last_lines": last}
    follow = (study.command("logs", "--follow"),) if job.runs else ()
    title = f"job {job.id}, {job.state}, said last:"
    return Report(facts, (title, *(f"  {line}" for line in last)), next=(*follow, study.command("status")))


def _from_last_lines(study: FarStudy, job: Job, most: int) -> Iterator[str]:
    """Yields what a job says from its last lines on; the server begins at the first."""
    said = study.server.log(job.id).splitlines(keepends=True)
    left_out = len("".join(said[: max(0, len(said) - most)]))
    for text in study.server.words(job.id):
        if len(text) > left_out:
            yield text[left_out:]
        left_out = max(0, left_out - len(text))


def _follow(study: FarStudy, job: Job, most: int) -> Report:
    """Prints what a job says, from a few lines before now on, until it ends."""
    try:
        for text in _from_last_lines(study, job, most):
            say(text, ends_line=False)
        end = f"job {job.id} has ended: {study.server.state(job.id)}."
    except KeyboardInterrupt:
        end = "stopped following; the search goes on."
    return Report({"study": study.folder.name, "job": job.id, "end": end}, (end,), next=(study.command("status"),))
