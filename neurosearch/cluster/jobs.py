"""The jobs that we submit: their ids, and what is kept with them so that any client finds a study by its name.

What is kept is shown by the cluster's dashboard: it holds places, and never a secret.
"""

import secrets
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from neurosearch.config.database import PostgresAddress, database_address
from neurosearch.search.folders import StudyFolder

JobState = Literal["pending", "running", "succeeded", "failed", "stopped"]
_STATES: dict[str, JobState] = {state.upper(): state for state in get_args(JobState)}
_STUDY, _FOLDER, _DATABASE, _PYTHON = (
    "neurosearch_study",
    "neurosearch_folder",
    "neurosearch_database",
    "neurosearch_python",
)


@dataclass(frozen=True)
class Job:
    """A job that searches a study.

    Attributes:
        id: Its id.
        study: Where the study lies, as the head sees it.
        python: The interpreter that runs it.
        state: How it stands.
        message: Ray's word on that.
        started: When it was submitted, in seconds since 1970.
    """

    id: str
    study: StudyFolder
    python: str
    state: JobState
    message: str
    started: float

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> "Job | None":
        """Reads a job as Ray tells it; None for one that searches no study."""
        kept = details["metadata"] or {}
        if not {_STUDY, _FOLDER, _PYTHON} <= kept.keys():
            return None
        study = StudyFolder(Path(kept[_FOLDER]), kept[_STUDY], kept.get(_DATABASE))
        started = (details["start_time"] or 0) / 1000
        state = job_state(details["status"].value)
        return cls(details["submission_id"], study, kept[_PYTHON], state, details["message"] or "", started)

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("pending", "running")


def job_state(rays: str) -> JobState:
    """Returns Ray's word for how a job stands as ours."""
    return _STATES[rays]


def kept_with(study: StudyFolder, python: str) -> dict[str, str]:
    """Returns what is kept with a job that searches a study."""
    database = {} if study.database is None else {_DATABASE: study.database}
    return {_STUDY: study.name, _FOLDER: str(study.root), _PYTHON: python, **database}


def new_job_id(study: str) -> str:
    """Returns an id for an attempt to search a study, which no other attempt has."""
    return f"{study}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def newest_of_each(name: str, jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Returns the newest job of every study of this name, given the jobs newest first; several may share a name.

    One that runs counts before a newer one that has ended: of two that were submitted at once, the second ends at once.
    """
    found: dict[Hashable, Job] = {}
    for job in jobs:
        if job.study.name == name:
            known = found.setdefault(_identity(job.study), job)
            if job.runs and not known.runs:
                found[_identity(job.study)] = job
    return tuple(found.values())


def of_study(study: StudyFolder, jobs: Iterable[Job]) -> Job | None:
    """Returns the newest of the jobs, newest first, that search this very study; None if there is none."""
    found = newest_of_each(study.name, jobs)
    return next((job for job in found if _identity(job.study) == _identity(study)), None)


def _identity(study: StudyFolder) -> Hashable:
    """Returns what tells studies of one name apart: their database, however it is reached, else their folder."""
    if study.database is None:
        return study.root
    try:
        address = database_address(study.database)
    except ValueError:  # whoever has the token may have written what is kept with a job
        return study.database
    return (address.host, address.port, address.database) if isinstance(address, PostgresAddress) else address.path
