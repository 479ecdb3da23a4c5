"""A study on a cluster: where it lies there, and asking after it from here.

Where its database can be reached from here it is read here. Else the head is asked, by the same command as a small job.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from neurosearch.cli.options import RUNS
from neurosearch.cli.report import CommandError, Report, neurosearch
from neurosearch.cli.studies import typed_database
from neurosearch.cluster.address import is_loopback
from neurosearch.cluster.asking import ask
from neurosearch.cluster.connection import connect
from neurosearch.cluster.jobs import Job, newest_of_each, of_study
from neurosearch.cluster.server import JobServer
from neurosearch.config.database import PostgresAddress, database_address
from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder

if TYPE_CHECKING:
    from neurosearch.search.stored import StoredStudy

_KNOW_ADDRESS = ("status", "logs", "stop", "resume")  # commands that can be asked from here


@dataclass(frozen=True)
class FarStudy:
    """A study on a cluster.

    Attributes:
        server: The cluster's job server.
        folder: Where the study lies, as the head sees it.
        job: The newest job that searched it; None where the head knows none.
        shares_name: Whether jobs there searched other studies of its name, too.
    """

    server: JobServer
    folder: StudyFolder
    job: Job | None
    shares_name: bool = False

    @property
    def place(self) -> tuple[str, ...]:
        """The options that say where the study is, for a command on the head."""
        database = () if self.folder.database is None else ("--database", self.folder.database)
        return ("--folder", str(self.folder.root), *database)

    def ask(self, command: str, *words: object) -> Report:
        """Runs a command on the study there; what it says to type next is said as it is typed here."""
        python = self.job.python if self.job else None
        found = Report.from_dict(ask(self.server, (command, self.folder.name, *words, *self.place), python=python))
        return replace(found, next=tuple(self._from_here(found.next)))

    def command(self, command: str, *words: object) -> str:
        """Writes a command on the study as it is typed here."""
        known = self.job is not None and self.job.study == self.folder and not self.shares_name
        place = () if known else self.place
        return neurosearch(command, self.folder.name, *words, "--address", self.server.address.url, *place)

    def here(self) -> "StoredStudy | None":
        """Returns the study as its database tells it, where that can be reached from here."""
        address = database_address(self.folder.database) if self.folder.database else None
        if not isinstance(address, PostgresAddress):
            return None
        from neurosearch.search.stored import StoredStudy

        try:
            found = StoredStudy(self.folder)
        except StudyError:
            return None
        # At the head, 127.0.0.1 may be another machine, whose database has a study of this name, too.
        is_theirs = Path(found.config.study.storage.folder) == self.folder.root or not is_loopback(address.host)
        return found if is_theirs else None

    def _from_here(self, commands: tuple[str, ...]) -> Iterator[str]:
        for words in map(shlex.split, commands):
            if words[1] in _KNOW_ADDRESS:
                there = ("--folder", "--database")
                own = [word for before, word in pairwise(words[2:]) if before not in there]
                yield self.command(words[1], *(word for word in own if word not in there))


def unmade_words(job: Job) -> str:
    """Says of a study that is not there what its newest job has to do with that."""
    if job.runs:
        return f"the job {job.id} has made no study yet"
    return f"the job {job.id} has ended, and there is no study: it made none, or that is gone"


def far_study(name: str, address: str, folder: Path, database: str | None) -> FarStudy:
    """Finds a study on a cluster, by its newest job there, or where the user says that it lies.

    Raises:
        ClusterError: The cluster cannot be used.
        CommandError: Nobody there knows the study, or several of its name, and nobody says where it lies; or what was
            typed is no address of a database.
    """
    try:
        typed_database(database)
    except StudyError as error:
        raise CommandError(str(error)) from error
    server = connect(address)
    same_name = newest_of_each(name, server.jobs())
    job: Job | None
    if folder == RUNS and not database:
        job = _only_one(name, server, same_name)
    else:
        job = _of_place(StudyFolder(folder, name, database), same_name)
    known = StudyFolder(RUNS, name) if job is None else job.study
    root = known.root if folder == RUNS else folder
    others = len(same_name) - (job is not None)
    return FarStudy(server, StudyFolder(root, name, database or known.database), job, others > 0)


def _only_one(name: str, server: JobServer, found: tuple[Job, ...]) -> Job:
    url = server.address.url
    if not found:
        raise CommandError(
            f"no job on {url} searched a study {name!r}; a head that was started anew knows none. Say where the study "
            "lies, as the head sees it: --database ADDRESS, or --folder FOLDER. Or submit its config again.",
            next_commands=(neurosearch("submit", "CONFIG", "--address", url),),
        )
    if len(found) > 1:
        places = " and ".join(job.study.place for job in found)
        raise CommandError(
            f"jobs on {url} searched {len(found)} studies named {name!r}: in {places}. Say which one, by --folder or "
            "--database.",
            next_commands=tuple(FarStudy(server, each.study, each, True).command("status") for each in found),
        )
    return found[0]


def _of_place(study: StudyFolder, found: tuple[Job, ...]) -> Job | None:
    """Returns the job that searched the study in a place; a folder alone may be that of one in a database."""
    job = of_study(study, found)
    if job is not None or study.database is not None:
        return job
    return next((each for each in found if each.study.root == study.root), None)
