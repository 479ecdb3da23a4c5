"""What `submit` and `resume` on a cluster share: everything is checked there, then the job starts."""

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurosearch import __version__
from neurosearch.cli.report import CommandError, Report, neurosearch
from neurosearch.cluster.asking import ask
from neurosearch.cluster.connection import connect
from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.jobs import kept_with, new_job_id, of_study
from neurosearch.cluster.offered import fewer_at_once, shortages
from neurosearch.cluster.package import CONFIG, Package
from neurosearch.cluster.server import JobServer
from neurosearch.config.base import ConfigError, Problem, undotted
from neurosearch.config.load import StudyConfig
from neurosearch.config.search import SearchFields
from neurosearch.search.folders import StudyFolder


def submit_study(package: Package, address: str) -> Report:
    """Checks a study here and on the cluster, submits its job, and says how to follow it.

    Raises:
        ClusterError: The cluster cannot be used; nothing was started.
        ConfigError: With what the study asks for and the cluster has not.
        CommandError: The head refuses the study.
    """
    server = connect(address)
    study = package.study
    folder = StudyFolder.of(study.study)
    _check_room(study.study.search, server, study)
    check_nobody_submitted(server, folder)
    with tempfile.TemporaryDirectory(prefix="neurosearch-package-") as temporary:
        package.write(Path(temporary))
        found = ask(server, ("preflight", CONFIG), package=Path(temporary))
        check_preflight(server, found, study)
        words = ("search", CONFIG, "--address", "auto", "--resume")
        return started(server, folder, found, words, Path(temporary))


def started(
    server: JobServer, folder: StudyFolder, found: Mapping[str, Any], words: Sequence[str], package: Path | None
) -> Report:
    """Submits the job of a study that the head has nothing against, and says how to follow it.

    Args:
        server: Where.
        folder: The study, as the head sees it.
        found: What the head said about it.
        words: The command that searches.
        package: What travels.
    """
    job_id = new_job_id(folder.name)
    entrypoint = shlex.join((found["interpreter"], "-m", "neurosearch", *words))
    server.submit(entrypoint, job_id, kept_with(folder, found["interpreter"]), package)
    notes = [*found["notes"], *_remarks(server, SearchFields.model_validate(found["search"]))]
    facts = {
        "ok": True,
        "study": folder.name,
        "job": job_id,
        "address": server.address.url,
        "folder": str(folder.path),
        "database": folder.database,
        "goes_on": found["goes_on"],
        "entrypoint": entrypoint,
        "notes": notes,
        "plan": found["plan"],
    }
    how = "goes on with" if found["goes_on"] else "searches"
    lines = (
        *found["lines"],
        *(f"note: {note}" for note in notes),
        f"job {job_id} {how} {folder.name} in {folder.path}",
    )
    return Report(facts, lines, next=following(folder.name, server.address.url))


def following(study: str, url: str) -> tuple[str, ...]:
    """Returns how to follow a study on a cluster."""
    at = ("--address", url)
    return (
        neurosearch("logs", study, *at, "--follow"),
        neurosearch("status", study, *at),
        neurosearch("stop", study, *at),
    )


def check_nobody_submitted(server: JobServer, folder: StudyFolder) -> None:
    """Checks that no job searches the study already.

    Raises:
        CommandError: One does.
    """
    job = of_study(folder.name, server.jobs())
    if job is not None and job.runs:
        raise CommandError(
            f"the job {job.id} searches {folder.name} already. Follow it, or stop it first.",
            next_commands=following(folder.name, server.address.url),
        )


def check_preflight(server: JobServer, found: Mapping[str, Any], study: StudyConfig | None) -> None:
    """Passes on what the head has against a study; with the study, each problem gets its line in the user's file.

    Raises:
        ConfigError: Fields are wrong there.
        CommandError: Something else is.
        ClusterError: Another neurosearch runs there.
    """
    there = found.get("neurosearch", __version__)
    if there != __version__:
        raise ClusterError(
            f"neurosearch {there} is installed on {server.address.url}, and here is {__version__}. Install the same on "
            "both."
        )
    if found.get("problems"):
        raise ConfigError(tuple(_problem(each, study) for each in found["problems"]))
    if not found.get("ok"):
        raise CommandError(f"on the cluster: {found.get('error', 'refused')}", code=int(found.get("exit_code", 3)))


def _problem(told: Mapping[str, str], study: StudyConfig | None) -> Problem:
    field, text = told["field"], f"on the cluster: {told['text']}"
    if study is None or not field:
        return Problem(told["where"], field, text)
    return Problem(study.template.source.place(undotted(field)), field, text)


def _check_room(search: SearchFields, server: JobServer, study: StudyConfig) -> None:
    problems = [
        Problem(study.template.source.place(undotted(field)), field, text)
        for field, text in shortages(search, server.nodes())
    ]
    if problems:
        raise ConfigError(tuple(problems))


def _remarks(server: JobServer, search: SearchFields) -> list[str]:
    found = []
    if not server.address.is_encrypted and not server.address.is_loopback:
        found.append(
            f"the token travels to {server.address.url} unencrypted: whoever listens on the way has it. Use https, or "
            "a tunnel that ends on 127.0.0.1."
        )
    remark = fewer_at_once(search, server.nodes())
    return [*found, *([remark] if remark else [])]
