"""Which study is meant on a cluster whose jobs searched several of one name."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurosearch.cli import afar, far_status
from neurosearch.cli.afar import FarStudy, far_study
from neurosearch.cli.options import RUNS
from neurosearch.cli.report import CommandError
from neurosearch.cli.submitting import check_nobody_submitted
from neurosearch.cluster.address import JobAddress, job_address
from neurosearch.cluster.jobs import Job
from neurosearch.search import stored
from neurosearch.search.folders import StudyFolder

POSTGRES = "postgresql://ann@db/studies"


def job(number: int, root: str, database: str | None = None) -> Job:
    return Job(f"moons-{number}", StudyFolder(Path(root), "moons", database), "python", "running", "", float(number))


@dataclass(frozen=True)
class Head:
    """A job server that knows some jobs."""

    known: tuple[Job, ...]
    address: JobAddress

    def jobs(self) -> tuple[Job, ...]:
        return self.known


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Finds moons on a cluster with these jobs."""

    def found(jobs: tuple[Job, ...], folder: Path = RUNS, database: str | None = None) -> FarStudy:
        monkeypatch.setattr(afar, "connect", lambda _: Head(jobs, job_address("http://h:8265")))
        return far_study("moons", "http://h:8265", folder, database)

    return found


BOTH = (job(2, "/a"), job(1, "/b"))


def test_a_folder_that_is_named_is_that_of_the_job(find: Any) -> None:
    study = find(BOTH, Path("/b"))
    assert (study.job.id, study.folder.root) == ("moons-1", Path("/b"))
    assert study.command("stop") == "neurosearch stop moons --address http://h:8265 --folder /b"
    assert find(BOTH, Path("/c")).job is None


def test_an_address_with_a_password_reaches_no_cluster_and_no_screen(find: Any) -> None:
    with pytest.raises(CommandError, match="holds a password") as refused:
        find(BOTH, database="postgresql://ann:tiger@db/studies")
    assert "tiger" not in f"{refused.value} {refused.value.next_commands}"


@pytest.mark.parametrize(
    "change",
    [
        "storage.database=postgresql://ann:tiger@db/studies",
        "tracking.uri=http://tiger@h:5000",
        "data.s3.secret_access_key=tiger",
    ],
)
def test_a_change_with_a_secret_reaches_no_cluster(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_status, "far_study", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(CommandError, match="holds a secret") as refused:
        far_status.far_resume("moons", "http://h:8265", RUNS, None, (change,))
    assert "tiger" not in str(refused.value)


def test_where_several_studies_have_the_name_the_user_is_asked_which(find: Any) -> None:
    with pytest.raises(CommandError, match="2 studies named 'moons': in /a and /b. Say which one, by --folder") as told:
        find(BOTH)
    assert told.value.next_commands == (
        "neurosearch status moons --address http://h:8265 --folder /a",
        "neurosearch status moons --address http://h:8265 --folder /b",
    )


def test_the_only_study_of_a_name_needs_no_place(find: Any) -> None:
    study = find((job(2, "/a", POSTGRES), job(1, "/a", POSTGRES)))
    assert (study.job.id, study.folder.database) == ("moons-2", POSTGRES)
    assert study.command("stop") == "neurosearch stop moons --address http://h:8265"
    assert find((job(2, "/a", POSTGRES),), Path("/a")).folder.database == POSTGRES


def test_a_database_that_is_named_is_that_of_the_job(find: Any) -> None:
    jobs = (job(3, "/a"), job(2, "/a", POSTGRES))
    assert find(jobs, database=POSTGRES).job.id == "moons-2"
    assert find(jobs, Path("/a")).job.id == "moons-3"
    assert find(jobs, database="postgresql://ann@db/others").job is None


def test_only_a_job_of_the_same_study_is_in_the_way(find: Any) -> None:
    with pytest.raises(CommandError, match="the job moons-1 searches moons already") as told:
        check_nobody_submitted(find(BOTH, Path("/b")))
    assert told.value.next_commands[0] == ("neurosearch logs moons --address http://h:8265 --folder /b --follow")
    check_nobody_submitted(find(BOTH, Path("/c")))


@pytest.mark.parametrize(
    ("database", "folder", "is_read_here"),
    [
        ("postgresql://ann@db/studies", "/elsewhere", True),
        ("postgresql://ann@127.0.0.1/studies", "/a", True),
        ("postgresql://ann@127.0.0.1/studies", "/elsewhere", False),
        ("postgresql://ann@localhost/studies", "/elsewhere", False),
    ],
)
def test_a_database_of_this_machine_is_not_taken_for_that_of_the_head(
    database: str, folder: str, is_read_here: bool, find: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = SimpleNamespace(study=SimpleNamespace(storage=SimpleNamespace(folder=folder)))
    monkeypatch.setattr(stored, "StoredStudy", lambda _: SimpleNamespace(config=kept))
    assert (find((job(1, "/a", database),)).here() is not None) == is_read_here
