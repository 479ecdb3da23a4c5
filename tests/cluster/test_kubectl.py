import base64
import json
import os
from pathlib import Path

import pytest

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.kubectl import KubectlProcess, NotAllowed
from neurosearch.cluster.memory_kubectl import MemoryKubectl
from neurosearch.cluster.ray_job import to_text
from tests.cluster.api_server import ApiServer
from tests.k8s.manifests import needs_kubectl, program
from tests.s3 import free_port

pytestmark = needs_kubectl
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "n", "labels": {"of": "a"}},
    "data": {"text": "one\ntwo\n"},
}
JOB = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "a", "namespace": "n"}, "spec": {}}


def use(url, tmp_path, monkeypatch):
    """Make kubectl ask this server, as this user's configuration says."""
    file = tmp_path / "config"
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    clusters = [{"name": "c", "cluster": {"server": url}}]
    users = [{"name": "u", "user": {}}]
    text = {"kind": "Config", "clusters": clusters, "contexts": [context], "users": users, "current-context": "c"}
    file.write_text(json.dumps(text))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))  # where kubectl keeps what it was told before
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(program()).parent), os.environ["PATH"]]))


@pytest.fixture
def server():
    made = ApiServer()
    yield made
    made.close()


@pytest.fixture
def kubectl(server, tmp_path, monkeypatch):
    use(server.url, tmp_path, monkeypatch)
    return KubectlProcess("n")


class TestEveryKubectl:
    """What the process and the one in memory do alike."""

    @pytest.fixture(params=["process", "memory"])
    def kubectl(self, request):
        if request.param == "memory":
            return MemoryKubectl({})
        return request.getfixturevalue("asking")

    @pytest.fixture
    def asking(self, server, tmp_path, monkeypatch):
        use(server.url, tmp_path, monkeypatch)
        return KubectlProcess("n")

    def test_what_was_applied_is_found_again_until_it_is_deleted(self, kubectl):
        assert kubectl.get("configmap", "a") is None
        kubectl.apply(to_text([CONFIG_MAP, JOB]))
        assert kubectl.get("configmap", "a")["data"] == CONFIG_MAP["data"]
        assert kubectl.get("rayjobs.ray.io", "a")["kind"] == "RayJob"
        assert [each["metadata"]["name"] for each in kubectl.find("configmaps", {"of": "a"})] == ["a"]
        assert list(kubectl.find("configmaps", {"of": "b"})) == []
        kubectl.delete("configmap", "a")
        kubectl.delete("configmap", "a")
        assert kubectl.get("configmap", "a") is None

    def test_a_secret_that_is_not_there_has_no_keys(self, kubectl):
        assert kubectl.keys("tiger") is None


def test_the_keys_of_a_secret_are_asked_for_and_no_value(server, kubectl):
    value = base64.b64encode(b"tiger").decode()
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}
    server.objects["secrets", "s"] = {**made, "data": {"password": value, "user-name": value}}
    assert kubectl.keys("s") == {"password", "user-name"}
    assert value not in kubectl._asked(
        "get", "secret", "s", "--output=go-template={{range $key, $_ := .data}}{{$key}}{{end}}"
    )


def test_who_may_not_is_told_which_role_to_ask_for(tmp_path, monkeypatch):
    server = ApiServer(forbidden=["secrets"])
    use(server.url, tmp_path, monkeypatch)
    with pytest.raises(NotAllowed, match="is forbidden.*Ask for the role search-submitter"):
        KubectlProcess("n").keys("s")
    server.close()


def test_a_cluster_that_does_not_answer_is_told_with_the_remedy(tmp_path, monkeypatch):
    use(f"http://127.0.0.1:{free_port()}", tmp_path, monkeypatch)
    with pytest.raises(ClusterError, match="no Kubernetes cluster answers: .*refused.*kubectl config use-context"):
        KubectlProcess("n").get("configmap", "a")


def test_a_cluster_without_kuberay_is_told_what_to_install(tmp_path, monkeypatch):
    server = ApiServer(has_ray=False)
    use(server.url, tmp_path, monkeypatch)
    with pytest.raises(ClusterError, match="doesn't have a resource type .*Install the KubeRay operator"):
        KubectlProcess("n").get("rayjobs.ray.io", "a")
    server.close()


def test_where_there_is_no_kubectl_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="kubectl is not installed here"):
        KubectlProcess("n")
