from dataclasses import replace
from pathlib import Path

import pytest

from neurosearch.cluster.jobs import Job, newest_of_each, of_study
from neurosearch.search.folders import StudyFolder

POSTGRES = "postgresql://ann@db:5432/studies"


def job(number, root, database=None, name="moons"):
    return Job(f"{name}-{number}", StudyFolder(Path(root), name, database), "python", "running", "", float(number))


JOBS = (
    job(9, "/a", name="other"),
    job(5, "/b"),
    job(4, "/a"),
    job(3, "/b"),
    job(2, "/b", POSTGRES),
    job(1, "/c", POSTGRES.replace("ann@", "bob@") + "?sslmode=require"),
)


@pytest.mark.parametrize(
    ("study", "found"),
    [
        (StudyFolder(Path("/a"), "moons"), 4),
        (StudyFolder(Path("/b"), "moons"), 5),
        (StudyFolder(Path("/d"), "moons", "postgresql://eve@db/studies"), 2),
        (StudyFolder(Path("/b"), "moons", "postgresql://ann@db/others"), None),
        (StudyFolder(Path("/b"), "moons", "sqlite:////b/studies.db"), None),
        (StudyFolder(Path("/d"), "moons"), None),
    ],
)
def test_a_job_is_that_of_a_study_if_it_searched_the_same_folder_or_database(study, found):
    job = of_study(study, JOBS)
    assert (job and job.id) == (found and f"moons-{found}")


def test_studies_that_share_a_name_are_told_apart_each_by_its_newest_job():
    assert [each.id for each in newest_of_each("moons", JOBS)] == ["moons-5", "moons-4", "moons-2"]
    assert newest_of_each("nobody", JOBS) == ()


def test_of_two_jobs_that_were_submitted_at_once_the_one_that_runs_is_meant():
    lost = replace(job(3, "/a"), state="failed")
    found = newest_of_each("moons", (lost, job(2, "/a"), replace(job(1, "/a"), state="succeeded")))
    assert [each.id for each in found] == ["moons-2"]
    assert newest_of_each("moons", (lost, replace(job(2, "/a"), state="succeeded"))) == (lost,)


def test_what_was_written_as_a_jobs_database_and_is_none_is_a_place_of_its_own():
    strange = (job(1, "/a", "postgresql://"), job(2, "/a"))
    assert [each.id for each in newest_of_each("moons", strange)] == ["moons-1", "moons-2"]
