import json

import pytest
from typer.testing import CliRunner

from neurosearch.cli.app import app
from tests.cluster.api_server import ApiServer
from tests.cluster.kubernetes_settings import IMAGE, PLAIN, TEXT
from tests.cluster.test_kubectl import use
from tests.k8s.manifests import needs_kubectl

run = CliRunner().invoke


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(PLAIN)
    return str(file)


@pytest.fixture
def server(tmp_path, monkeypatch):
    made = ApiServer(forbidden=["secrets"])
    use(made.url, tmp_path, monkeypatch)
    metadata = {"name": "neurosearch", "namespace": "n"}
    data = {"cluster.yaml": TEXT, "image": IMAGE}
    made.objects["configmaps", "neurosearch"] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": data,
    }
    yield made
    made.close()


@pytest.mark.parametrize("words", [(), ("--kubernetes", "--address", "http://127.0.0.1:8265")])
def test_submit_wants_to_know_where(config, words):
    done = run(app, ["submit", config, *words])
    assert done.exit_code == 2
    assert "say where: --address URL for a Ray cluster, or --kubernetes" in done.output


def test_a_dry_run_of_a_ray_clusters_job_is_refused_and_not_submitted(config):
    done = run(app, ["submit", config, "--address", "http://127.0.0.1:1", "--dry-run"])
    assert done.exit_code == 2
    assert "--dry-run prints what --kubernetes would apply" in done.output


@pytest.mark.parametrize("command", ["status", "stop", "resume"])
def test_who_asks_kubernetes_asks_no_other_cluster(command):
    done = run(app, [command, "a", "--kubernetes", "--address", "http://127.0.0.1:8265"])
    assert done.exit_code == 2
    assert "say where: --address URL for a Ray cluster, or --kubernetes" in done.output


def test_kubernetes_is_not_watched_and_says_so():
    done = run(app, ["status", "a", "--kubernetes", "--watch"])
    assert done.exit_code == 2
    assert "--watch shows a search of this machine or of a Ray cluster" in done.output


def test_what_kubernetes_refuses_is_told_before_a_cluster_is_asked(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(PLAIN.replace("{kind: digits}", "{kind: npz, path: mine.npz}"))
    done = run(app, ["submit", str(file), "--kubernetes"])
    assert done.exit_code == 2
    assert "mine.npz is a file of this machine" in done.output


@needs_kubectl
def test_a_search_is_submitted_asked_after_and_ended_through_kubectl(config, server):
    where = ["--kubernetes", "--namespace", "n"]
    done = run(app, ["submit", config, *where, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["job"] == "search-a"
    assert server.objects["rayjobs", "search-a"]["spec"]["backoffLimit"] == 3
    asked = run(app, ["status", "a", *where])
    assert "RayJob search-a: Initializing" in asked.output
    assert run(app, ["stop", "a", *where, "--now"]).exit_code == 0
    assert ("rayjobs", "search-a") not in server.objects
    resumed = run(app, ["resume", "a", *where, "--set", "search.trials=7"])
    assert resumed.exit_code == 0, resumed.output
    assert "trials: 7" in server.objects["configmaps", "search-a"]["data"]["study.yaml"]
