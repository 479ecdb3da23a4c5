import copy
import json

import pytest

from neurosearch.cli.kubernetes import resumed, standing_report, stopped, submitted
from neurosearch.cli.report import FAILED, CommandError
from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.memory_kubectl import MemoryKubectl
from neurosearch.cluster.pods import SECRETS
from neurosearch.config.base import ConfigError
from tests.cluster.kubernetes_settings import IMAGE, PLAIN, TEXT

JOB = ("rayjob", "search-a")


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(PLAIN + "search: {trials: 8}\n")
    return file


def cluster(secrets=SECRETS, answer=None, text=TEXT):
    kubectl = MemoryKubectl(secrets, answer)
    data = {"cluster.yaml": text, "image": IMAGE}
    kubectl.put({"kind": "ConfigMap", "metadata": {"name": "neurosearch"}, "data": data})
    return kubectl


def submit(config, kubectl, *changes, dry_run=False):
    return submitted(config, changes, "neurosearch", dry_run=dry_run, kubectl=kubectl)


def running(kubectl, **status):
    job = kubectl.objects[JOB]
    job["status"] = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "rayClusterName": "search-a-x", **status}
    labels = {"ray.io/cluster": "search-a-x", "ray.io/node-type": "head"}
    state = {"containerStatuses": [{"name": "ray-head", "state": {"running": {}}}]}
    kubectl.put({"kind": "Pod", "metadata": {"name": "head", "labels": labels}, "status": state})


def test_a_config_is_applied_and_how_to_follow_it_is_told(config):
    kubectl = cluster()
    report = submit(config, kubectl)
    assert {("configmap", "search-a"), JOB} <= kubectl.objects.keys()
    assert report.lines == ("RayJob search-a searches a, kept in postgresql://studies@postgres:5432/studies",)
    assert report.next[:2] == ("neurosearch status a --kubernetes", "neurosearch stop a --kubernetes --now")


def test_right_after_its_submission_a_search_is_told_as_one_that_starts(config):
    kubectl = cluster()
    submit(config, kubectl)
    report = standing_report("a", "neurosearch", kubectl)
    first, second = report.lines
    assert first == "RayJob search-a: Initializing"
    assert second.startswith("its head does not run yet; a search makes its study in its first minutes")
    assert not any(" logs " in command for command in report.next), "there is no log yet"
    assert "neurosearch stop a --kubernetes --now" in report.next
    running(kubectl)
    assert (
        "kubectl --namespace=neurosearch logs --follow job/search-a"
        in standing_report("a", "neurosearch", kubectl).next
    )
    with pytest.raises(ClusterError, match=r"searches a already \(Running\). Follow it"):
        resumed("a", (), "neurosearch", kubectl)


def test_a_dry_run_prints_what_would_be_applied_and_applies_nothing(config):
    kubectl = cluster()
    before = dict(kubectl.objects)
    report = submit(config, kubectl, dry_run=True)
    assert kubectl.objects == before
    assert (report.next, report.lines[0].count("kind: RayJob")) == ((), 1)


@pytest.mark.parametrize(("secret", "key"), [(name, key) for name, keys in SECRETS.items() for key in keys])
def test_a_missing_secret_is_named_with_its_key_and_namespace(config, secret, key):
    has = {**SECRETS, secret: [each for each in SECRETS[secret] if each != key]}
    with pytest.raises(ClusterError, match=rf"namespace neurosearch lacks the secrets {secret} \(key {key}\). Make"):
        submit(config, cluster(secrets=has))


def test_what_makes_missing_secrets_leaves_the_others_as_they_are(config):
    def told(*there):
        with pytest.raises(ClusterError) as refused:
            submit(config, cluster(secrets={name: SECRETS.get(name, ("auth.ini",)) for name in there}))
        return str(refused.value).partition("Make them: `")[2].partition("`, or by hand")[0]

    making, applying = "NAMESPACE=neurosearch python k8s/make_secrets.py", " | kubectl apply --filename -"
    assert told() == making + applying
    assert told("study-database", "mlflow-client") == f"{making} --only ray-auth --only s3-trials{applying}"
    others = ("ray-auth", "study-database", "s3-trials")
    restarting = " && kubectl --namespace=neurosearch rollout restart deployment/mlflow"
    assert told(*others, "mlflow-server") == f"{making} --only mlflow-client{applying}{restarting}"
    assert "--only ray-auth --only study-database --only mlflow-client --only s3-trials" in told("mlflow-server")


def test_who_may_not_look_at_secrets_is_told_so_and_submits(config):
    report = submit(config, cluster(secrets=None))
    assert report.facts["notes"] == ["you may not look at secrets, so a missing one is told by the pods only."]


def test_an_empty_namespace_is_told_with_what_installs_it(config):
    with pytest.raises(ClusterError, match="no ConfigMap neurosearch .* Run `kubectl apply -k k8s/overlays/dev`"):
        submit(config, MemoryKubectl(SECRETS))


def test_another_ray_in_the_image_than_in_the_settings_is_refused(config):
    with pytest.raises(ClusterError, match="has Ray 2.60.0, but ray_version is 2.59.0"):
        submit(config, cluster(text=TEXT.replace("2.60.0", "2.59.0")))


def test_what_runs_is_not_submitted_again(config):
    kubectl = cluster()
    submit(config, kubectl)
    running(kubectl)
    with pytest.raises(ClusterError, match=r"the RayJob search-a searches a already \(Running\)"):
        submit(config, kubectl)


def test_what_has_ended_is_resumed_by_a_new_job_with_changes(config):
    kubectl = cluster()
    submit(config, kubectl)
    kubectl.objects[JOB]["status"] = {"jobDeploymentStatus": "Complete"}
    resumed("a", ("search.trials=50",), "neurosearch", kubectl)
    assert "status" not in kubectl.objects[JOB]
    assert "trials: 50" in kubectl.objects["configmap", "search-a"]["data"]["study.yaml"]


def test_a_search_whose_config_was_deleted_is_still_told(config):
    kubectl = cluster()
    submit(config, kubectl)
    kubectl.objects[JOB]["status"] = {"jobDeploymentStatus": "Failed", "message": "no node"}
    kubectl.delete("configmap", "search-a")
    report = standing_report("a", "neurosearch", kubectl)
    assert (report.code, report.lines[:2]) == (FAILED, ("RayJob search-a: Failed", "  no node"))


def test_a_study_that_is_resumed_keeps_its_name(config):
    kubectl = cluster()
    submit(config, kubectl)
    kubectl.objects[JOB]["status"] = {"jobDeploymentStatus": "Complete"}
    with pytest.raises(ConfigError, match="--set name=b: name: is the name of the study that is gone on with"):
        resumed("a", ("name=b",), "neurosearch", kubectl)
    assert ("rayjob", "search-b") not in kubectl.objects


def test_what_was_never_submitted_cannot_be_resumed():
    with pytest.raises(ClusterError, match="no study a was submitted to this namespace. Submit its config first"):
        resumed("a", (), "neurosearch", cluster())


def test_a_running_search_tells_of_itself_through_its_head(config):
    facts = {"counts": {"complete": 3, "running": 1}, "budget": {"trials": 8, "trials_used": 4}, "best": None}
    kubectl = cluster(answer=lambda words: (0, f"a line of Ray\n{json.dumps(facts)}\n"))
    submit(config, kubectl)
    running(kubectl)
    report = standing_report("a", "neurosearch", kubectl)
    database = ("--database", "postgresql://studies@postgres:5432/studies", "--json")
    asked = ("head", "ray-head", "neurosearch", "status", "a", "--folder", "/scratch/runs", *database)
    assert kubectl.asked == [asked]
    assert report.lines == (
        "RayJob search-a: Running, its job RUNNING",
        "trials: 4 of 8 (3 complete, 1 running)",
        "best: nothing feasible yet",
    )
    assert report.facts["standing"] == facts


def test_a_search_in_its_first_minutes_has_no_study_yet_and_says_so(config):
    facts = {
        "ok": False,
        "error": "there is no study 'a' in postgresql://studies@postgres:5432/studies.",
        "exit_code": 2,
        "no_study": True,
    }
    kubectl = cluster(answer=lambda words: (2, json.dumps(facts)))
    submit(config, kubectl)
    running(kubectl)
    report = standing_report("a", "neurosearch", kubectl)
    assert report.lines[1:] == (
        f"the study cannot be told: {facts['error']}",
        "a search makes its study in its first minutes, when data and services have been checked; ask again.",
    )
    running(kubectl, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert standing_report("a", "neurosearch", kubectl).lines[1:] == (
        f"the study cannot be told: {facts['error']}",
        "why it was not made says the last line of job/search-a's log.",
    )


def test_a_job_that_is_complete_does_not_pass_for_a_finished_study(config):
    facts = {"counts": {}, "budget": {"trials": 8, "trials_used": 4}, "best": None, "unfinished": True}
    kubectl = cluster(answer=lambda words: (0, json.dumps(facts)))
    submit(config, kubectl)
    running(kubectl, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    report = standing_report("a", "neurosearch", kubectl)
    assert "the study is not finished; why its driver ended says the last line of job/search-a's log." in report.lines
    assert report.next[:2] == (
        "neurosearch resume a --kubernetes",
        "kubectl --namespace=neurosearch logs job/search-a",
    )
    del kubectl.objects["pod", "head"]
    assert "whether the study is finished, and if not why" in standing_report("a", "neurosearch", kubectl).lines[-1]


def test_what_pods_wait_for_is_told(config):
    kubectl = cluster()
    submit(config, kubectl)
    running(kubectl)
    waiting = {
        "reason": "CreateContainerConfigError",
        "message": "couldn't find key password in Secret neurosearch/study-database",
    }
    kubectl.objects["pod", "head"]["status"] = {
        "conditions": [{"reason": "Unschedulable", "message": "0/3 nodes have 8 CPU"}],
        "containerStatuses": [{"name": "ray-head", "state": {"waiting": waiting}}],
    }
    lines = standing_report("a", "neurosearch", kubectl).lines
    assert "  head waits for a node: 0/3 nodes have 8 CPU" in lines
    assert any("CreateContainerConfigError: couldn't find key password" in line for line in lines)


@pytest.mark.parametrize(("ended", "why"), [("Failed", "the head was lost"), ("ValidationFailed", "no such field")])
def test_a_search_that_failed_is_a_failure_with_its_reason_and_may_go_on(config, ended, why):
    kubectl = cluster()
    submit(config, kubectl)
    kubectl.objects[JOB]["status"] = {"jobDeploymentStatus": ended, "message": why}
    report = standing_report("a", "neurosearch", kubectl)
    assert (report.code, report.next[0]) == (FAILED, "neurosearch resume a --kubernetes")
    assert f"  {why}" in report.lines


def test_a_search_that_is_not_there_is_told(config):
    with pytest.raises(CommandError, match="there is no RayJob search-a in namespace neurosearch"):
        standing_report("a", "neurosearch", cluster())


def test_stop_asks_the_search_itself_and_its_cluster_ends_with_it(config):
    kubectl = cluster(answer=lambda words: (0, '{"stop_requested": true}'))
    submit(config, kubectl)
    running(kubectl)
    report = stopped("a", "neurosearch", at_once=False, kubectl=kubectl)
    assert kubectl.asked[0][3:5] == ("stop", "a")
    assert JOB in kubectl.objects
    assert report.next[0] == "neurosearch resume a --kubernetes"


def test_stop_now_ends_the_job_and_keeps_what_resume_needs(config):
    kubectl = cluster()
    submit(config, kubectl)
    running(kubectl)
    stopped("a", "neurosearch", at_once=True, kubectl=kubectl)
    assert JOB not in kubectl.objects
    resumed("a", (), "neurosearch", kubectl)
    assert JOB in kubectl.objects


def test_a_search_that_has_not_begun_is_stopped_only_at_once(config):
    kubectl = cluster()
    submit(config, kubectl)
    with pytest.raises(CommandError, match="is Initializing, and no search runs on its head yet.*Use --now"):
        stopped("a", "neurosearch", at_once=False, kubectl=kubectl)


def test_where_nothing_runs_there_is_nothing_to_stop():
    assert stopped("a", "neurosearch", at_once=False, kubectl=cluster()).facts["stop_requested"] is False


@pytest.mark.parametrize("resume", [False, True])
def test_another_study_under_a_name_that_was_submitted_is_refused_before_anything_is_applied(config, resume):
    kubectl = cluster()
    submit(config, kubectl)
    kubectl.objects[JOB]["status"] = {"jobDeploymentStatus": "Complete"}
    before = copy.deepcopy(kubectl.objects)
    with pytest.raises(ClusterError, match=r"another study was submitted as a: training.epochs differs. Give this one"):
        resumed("a", ("training.epochs=9",), "neurosearch", kubectl) if resume else submit(
            config, kubectl, "training.epochs=9"
        )
    assert kubectl.objects == before
    submit(config, kubectl, "search.trials=50", "search.concurrency=1")
    assert "status" not in kubectl.objects[JOB]
