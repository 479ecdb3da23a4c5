"""The main job on a real Ray head in token mode, as a user types it: from a config to a winner, stops and losses."""

import pytest

from neurosearch.cluster.connection import connect
from neurosearch.cluster.jobs import kept_with
from neurosearch.search.errors import NoStudy
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import holder
from neurosearch.search.stored import StoredStudy

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def there(ray_cluster, type_in):
    """Types a command on the cluster and returns what it told, in facts."""

    def run(*words, code=0):
        done = type_in(*words, "--address", ray_cluster.url, "--json", cluster=ray_cluster)
        assert done.code == code, done.err + done.out
        assert ray_cluster.token not in done.out + done.err
        return done.facts

    return run


@pytest.fixture(scope="module")
def submitted(there, write_config, write_arrays, tmp_path_factory):
    """The folder of a study on arrays that lie beside its config, and what was told of its job."""
    folder = tmp_path_factory.mktemp("cluster")
    write_arrays(folder / "mine.npz")
    return folder, there("submit", write_config(folder, data="{kind: npz, path: mine.npz}"))


@pytest.fixture(scope="module")
def ended(submitted, there, wait_until):
    """The same, once the job has ended, with what the cluster tells of the study then."""
    folder, facts = submitted
    wait_until(lambda: there("logs", "first")["state"] not in ("pending", "running"))
    return folder, facts, there("status", "first")


@pytest.fixture
def none_left(as_member):
    """Ends the jobs that a test leaves running, whatever became of it: an endless search slows down all that follow."""
    yield
    server = connect(as_member.url)
    for job in server.jobs():
        if job.runs:
            server.stop(job.id)


def test_the_plan_is_told_before_the_job_starts(submitted):
    _, facts = submitted
    assert facts["job"].startswith("first-")
    assert facts["plan"]["forecast"]["trials"] == 2
    assert facts["goes_on"] is False
    assert facts["next"][0].startswith("neurosearch logs first --address http://127.0.0.1:")


def test_the_job_runs_in_the_interpreter_of_the_heads_workers_and_knows_no_secret(ray_cluster, submitted):
    _, facts = submitted
    (job,) = (each for each in ray_cluster.get("/api/jobs/") if each["submission_id"] == facts["job"])
    assert (
        job["entrypoint"] == f"{ray_cluster.python} -m neurosearch search study.yaml --address auto --resume --checked"
    )
    assert job["runtime_env"].keys() == {"working_dir"}
    assert job["metadata"] == {
        "neurosearch_study": "first",
        "neurosearch_folder": str(submitted[0] / "runs"),
        "neurosearch_python": ray_cluster.python,
    }


def test_the_study_is_searched_and_its_winner_exported_where_the_config_says(ended):
    folder, facts, status = ended
    assert status["job"] == {"id": facts["job"], "state": "succeeded", "message": "Job finished successfully."}
    assert status["counts"] == {"finished": 2, "infeasible": 0, "stopped": 0, "failed": 0, "running": 0}
    assert status["folder"] == str(folder / "runs" / "first")
    assert (folder / "runs" / "first" / "export" / "network.onnx").exists()
    assert [trial["state"] for trial in status["trials"]] == ["finished"] * 2


def test_its_arrays_lie_in_its_folder_and_not_in_the_jobs(ended):
    folder, _, _ = ended
    config = StoredStudy(StudyFolder(folder / "runs", "first")).config.to_mapping()
    assert config["data"]["path"].startswith(f"{folder}/runs/first/files/")


def test_what_the_job_said_is_told_and_so_is_a_trial(ended, there):
    assert any("exported trial" in line for line in there("logs", "first", "--lines", "9")["last_lines"])
    assert there("logs", "first", "--trial", "1")["state"] == "finished"
    assert there("logs", "first", "--trial", "2", code=2)["error"].startswith("the study 'first' has no trial 2")


def test_a_log_is_followed_to_the_end_of_its_job(ended, type_in, ray_cluster):
    done = type_in("logs", "first", "--follow", "--lines", "2", "--address", ray_cluster.url, cluster=ray_cluster)
    assert done.code == 0
    assert done.out.splitlines()[1].startswith("  or: neurosearch status first")
    assert "has ended: succeeded." in done.out


def test_another_space_is_refused_before_a_job_starts(ended, there, write_config, write_arrays, tmp_path):
    folder, facts, _ = ended
    write_arrays(tmp_path / "mine.npz")
    config = write_config(tmp_path, epochs=3, data="{kind: npz, path: mine.npz}")
    refused = there("submit", config, "--set", f"storage.folder={folder / 'runs'}", code=2)
    (problem,) = refused["problems"]
    assert (problem["where"], problem["field"]) == (f"{config}:1", "name")
    assert "on the cluster: the study 'first' in" in problem["text"]
    assert "another space: training.epochs differs" in problem["text"]
    assert there("logs", "first")["job"] == facts["job"]


def test_a_study_that_nobody_submitted_is_not_known(there):
    refused = there("status", "nobody", code=2)
    assert "searched a study 'nobody'; a head that was started anew knows none" in refused["error"]


@pytest.mark.usefixtures("none_left")
def test_a_study_stops_goes_on_and_outlives_its_head(ray_cluster, there, write_config, tmp_path, wait_until):
    config = write_config(tmp_path, "long", epochs=100_000)
    study = StudyFolder(tmp_path / "runs", "long")
    facts = there("submit", config)
    wait_until(lambda: epochs_of(study) > 0)

    refused = there("submit", config, code=2)
    assert refused["error"] == f"the job {facts['job']} searches long already. Follow it, or stop it first."

    assert there("stop", "long")["searched_by"].startswith("process ")
    wait_until(lambda: holder(study) is None)
    stopped = epochs_of(study)
    wait_until(lambda: there("logs", "long")["state"] == "succeeded")

    assert there("resume", "long")["goes_on"] is True
    wait_until(lambda: holder(study) is not None)
    assert there("stop", "long", "--now")["stop_requested"]
    wait_until(lambda: holder(study) is None)

    ray_cluster.kill(ray_cluster.head)
    ray_cluster.start_head()
    assert "a head that was started anew knows none" in there("resume", "long", code=2)["error"]
    again = there("resume", "long", "--folder", study.root)
    assert again["job"] != facts["job"]
    wait_until(lambda: epochs_of(study) > stopped)
    assert [trial.number for trial in StoredStudy(study).trials()] == [0]
    assert there("stop", "long", "--now")["stop_requested"]
    wait_until(lambda: holder(study) is None)


def epochs_of(study):
    """Epochs that a study has done; none before it is made."""
    try:
        return sum(trial.epochs for trial in StoredStudy(study).trials())
    except NoStudy:
        return 0


@pytest.mark.usefixtures("none_left")
def test_a_study_that_its_job_has_not_made_yet_is_told_so_and_its_job_ended(ray_cluster, there, tmp_path):
    study = StudyFolder(tmp_path / "runs", "later")
    connect(ray_cluster.url).submit("sleep 600", "later-1", kept_with(study, ray_cluster.python), None)
    status = there("status", "later")
    assert (status["is_starting"], status["job"]["id"]) == (True, "later-1")
    assert status["job"]["state"] in ("pending", "running")
    assert there("stop", "later")["stop_requested"] is False
    assert (
        "the job later-1 has made no study yet. So there is no trial 3"
        in there("logs", "later", "--trial", 3, code=2)["error"]
    )
    assert "the job later-1 searches later already" in there("resume", "later", code=2)["error"]
    assert there("stop", "later", "--now")["job"] == "later-1"
    assert there("logs", "later")["state"] == "stopped"
    status = there("status", "later", code=2)
    assert (status["no_study"], status["job"]["state"]) == (True, "stopped")
    for words in (("status",), ("stop",), ("resume",), ("logs", "--trial", 0)):
        refused = there(words[0], "later", *words[1:], code=2)
        assert "the job later-1 has ended, and there is no study" in refused["error"], words
    assert there("resume", "later", code=2)["next"] == [
        f"neurosearch logs later --address {ray_cluster.url}",
        f"neurosearch submit CONFIG --address {ray_cluster.url}",
    ]


@pytest.mark.usefixtures("none_left")
def test_of_two_studies_with_one_name_the_one_that_is_meant_is_stopped(there, write_config, tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        there("submit", write_config(folder, "twice", epochs=100_000))
    assert "2 studies named 'twice'" in there("status", "twice", code=2)["error"]
    first, second = (("twice", "--folder", folder / "runs") for folder in folders)
    assert there("stop", *second, "--now")["stop_requested"]
    assert there("logs", *first)["state"] in ("pending", "running")
    assert there("logs", *second)["state"] not in ("pending", "running")
    assert there("stop", *first, "--now")["stop_requested"]
