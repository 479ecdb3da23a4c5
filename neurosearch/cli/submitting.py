"""What `submit`, and `resume` on a cluster, share: everything is checked there, then the job starts."""

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from neurosearch import __version__
from neurosearch.cli.afar import FarStudy
from neurosearch.cli.outage import ServersAway
from neurosearch.cli.report import FAILED, CommandError, Report, neurosearch
from neurosearch.cluster.asking import ask
from neurosearch.cluster.connection import connect
from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.jobs import kept_with, new_job_id, newest_of_each, of_study
from neurosearch.cluster.offered import Node, fewer_at_once, shortages
from neurosearch.cluster.package import CONFIG, Package
from neurosearch.cluster.server import JobServer
from neurosearch.config.base import ConfigError, Problem, undotted
from neurosearch.config.search import SearchFields
from neurosearch.config.yaml_source import Source
from neurosearch.search.folders import StudyFolder


def submit_study(package: Package, address: str) -> Report:
    """Checks a study here and on the cluster, submits its job, and says how to follow it.

    Raises:
        ClusterError: The cluster cannot be used; nothing was started.
        ConfigError: With what the study asks for and the cluster has not.
        CommandError: A job searches the study already, or the head refuses it.
    """
    server = connect(address)
    study, folder = package.study, StudyFolder.of(package.study.study)
    source = study.template.source
    jobs = newest_of_each(folder.name, server.jobs())
    job = of_study(folder, jobs)
    far = FarStudy(server, StudyFolder(folder.root, folder.name, folder.database), job, len(jobs) > (job is not None))
    check_nobody_submitted(far)
    with tempfile.TemporaryDirectory(prefix="neurosearch-package-") as temporary:
        package.write(Path(temporary))
        found = Report.from_dict(ask(server, ("preflight", CONFIG), package=Path(temporary)))
        check_preflight(found, server, source)
        check_room(found, server, source)
        words = ("search", CONFIG, "--address", "auto", "--resume", "--checked")
        return started(far, found, words, Path(temporary))


def started(study: FarStudy, found: Report, words: Sequence[str], package: Path | None) -> Report:
    """Submits the job of a study that the head has nothing against, and says how to follow it.

    Args:
        study: The study, as the head sees it.
        found: What the head said about it.
        words: The command that searches.
        package: What travels.
    """
    server, folder = study.server, study.folder
    told, job_id = found.facts, new_job_id(folder.name)
    entrypoint = shlex.join((told["interpreter"], "-m", "neurosearch", *words))
    server.submit(entrypoint, job_id, kept_with(folder, told["interpreter"]), package)
    notes = [*told["notes"], *_remarks(server, found)]
    facts = {
        "ok": True,
        "study": folder.name,
        "job": job_id,
        "address": server.address.url,
        "folder": str(folder.path),
        "database": folder.database,
        "goes_on": told["goes_on"],
        "entrypoint": entrypoint,
        "notes": notes,
        "plan": told["plan"],
    }
    how = "goes on with" if told["goes_on"] else "searches"
    last = f"job {job_id} {how} {folder.name} in {folder.path}"
    lines = (*found.lines, *(f"note: {note}" for note in notes), last)
    return Report(facts, lines, next=_following(study))


def check_nobody_submitted(study: FarStudy) -> None:
    """Checks that a study's newest job does not search it still.

    Raises:
        CommandError: It does.
    """
    if study.job is not None and study.job.runs:
        raise CommandError(
            f"the job {study.job.id} searches {study.folder.name} already. Follow it, or stop it first.",
            next_commands=_following(study),
        )


def _following(study: FarStudy) -> tuple[str, ...]:
    """Returns how to follow a study whose job is known to the cluster."""
    place = study.place if study.shares_name else ()
    at = ("--address", study.server.address.url, *place)
    return tuple(
        neurosearch(command, study.folder.name, *at, *more)
        for command, more in (("logs", ("--follow",)), ("status", ()), ("stop", ()))
    )


def check_room(found: Report, server: JobServer, source: Source) -> None:
    """Checks that there are nodes for a study's trials, or may be.

    Args:
        found: What the head said about the study, and about the nodes that may come.
        server: Where.
        source: The user's own file.

    Raises:
        ConfigError: With what is asked for and no node has or will have, each at its line.
    """
    search = SearchFields.model_validate(found.facts["search"])
    short = shortages(search, server.nodes(), _coming(found))
    problems = [Problem(source.place(undotted(field)), field, text) for field, text in short]
    if problems:
        raise ConfigError(tuple(problems))


def check_preflight(found: Report, server: JobServer, source: Source) -> None:
    """Passes on what the head has against a study, each problem with its line in the user's own file.

    Raises:
        ConfigError: Fields are wrong there; `ServersAway` where servers alone are away.
        CommandError: Something else is.
        ClusterError: Another neurosearch runs there.
    """
    told = found.facts
    there = told.get("neurosearch", __version__)
    if there != __version__:
        raise ClusterError(
            f"neurosearch {there} is installed on {server.address.url}, and here is {__version__}. Install the same on "
            "both."
        )
    if told.get("problems"):
        problems = tuple(_problem(each, source) for each in told["problems"])
        raise ServersAway(problems) if found.code == FAILED else ConfigError(problems)
    if found.code:
        raise CommandError(f"on the cluster: {told.get('error')}", code=found.code)


def _problem(told: Mapping[str, str], source: Source) -> Problem:
    where = source.place(undotted(told["field"])) if told["field"] else source.name
    return Problem(where, told["field"], f"on the cluster: {told['text']}")


def _coming(found: Report) -> tuple[Node, ...]:
    return tuple(Node.of(each) for each in found.facts["may_grow"])


def _remarks(server: JobServer, found: Report) -> Iterator[str]:
    if not server.address.is_encrypted and not server.address.is_loopback:
        yield (
            f"the token travels to {server.address.url} unencrypted: whoever listens on the way has it. Use https, or "
            "a tunnel that ends on 127.0.0.1."
        )
    search = SearchFields.model_validate(found.facts["search"])
    remark = fewer_at_once(search, server.nodes(), _coming(found))
    if remark is not None:
        yield remark
