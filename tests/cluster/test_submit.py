"""The main job on a real Ray head in token mode, as a user types it."""

import json
import time
from urllib.request import Request, urlopen

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import StoredStudy

pytestmark = [pytest.mark.ray, pytest.mark.slow]
_SECONDS = 180


@pytest.fixture(scope="module")
def submitted(ray_cluster, run_command, write_config, tmp_path_factory):
    """The folder, and the facts, of a study that was submitted."""
    folder = tmp_path_factory.mktemp("cluster")
    config = write_config(folder)
    done = run_command(ray_cluster, "submit", config, "--address", ray_cluster.url, "--json")
    assert done.code == 0, done.err
    return folder, json.loads(done.out)


def test_a_study_is_searched_on_the_cluster_by_a_job_of_its_own(ray_cluster, submitted):
    folder, facts = submitted
    assert facts["job"].startswith("first-")
    assert facts["entrypoint"].endswith(" -m neurosearch search study.yaml --address auto --resume")
    until = time.monotonic() + _SECONDS
    while state(ray_cluster, facts["job"]) in ("PENDING", "RUNNING"):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert state(ray_cluster, facts["job"]) == "SUCCEEDED"
    study = StoredStudy(StudyFolder(folder / "runs", "first"))
    assert [trial.state for trial in study.trials()] == ["finished"] * 2


def state(cluster, job):
    request = Request(f"{cluster.url}/api/jobs/{job}", headers={"Authorization": f"Bearer {cluster.token}"})
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)["status"]
