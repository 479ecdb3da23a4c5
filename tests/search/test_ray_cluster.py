"""A Ray cluster as a search meets it: who is let in, what its nodes have, and what its workers do not know."""

import json
import re
import socket
import subprocess
import sys

import pytest

from neurosearch.search import ray_cluster
from neurosearch.search.coming_nodes import MAY_GROW
from neurosearch.search.errors import StudyError
from neurosearch.search.ray_cluster import SECRETS, Workers, check_address, check_resources


@pytest.mark.parametrize("address", ["ray://cluster:10001", "auto", "cluster", "10.0.0.7:"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(StudyError, match="write host:port"):
        check_address(address)


@pytest.mark.parametrize("address", ["http://ann:tiger@127.0.0.1:1", "ann:tiger@127.0.0.1:1"])
def test_an_address_with_a_password_is_refused_without_repeating_it(address):
    with pytest.raises(StudyError, match="no Ray cluster answers|is no address") as refused:
        check_address(address)
    assert "tiger" not in str(refused.value)


def test_a_cluster_that_does_not_answer_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_address(f"127.0.0.1:{port}")
    with pytest.raises(StudyError, match=f"no Ray cluster answers at 127.0.0.1:{port}: Connection refused"):
        check_address(f"127.0.0.1:{port}")


def test_what_no_node_has_is_refused_though_all_have_it_together(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}])
    check_resources(Workers(4, 2.0, 1.0, None))
    with pytest.raises(StudyError, match=r"search\.gpus_per_trial is 2, but no node has more than 1 of GPU\. Lower it"):
        check_resources(Workers(1, 1.0, 2.0, None))
    with pytest.raises(StudyError, match=r"search\.cpus_per_trial is 3, but no node has more than 2 of CPU"):
        check_resources(Workers(1, 3.0, 0.0, None))


def test_what_the_cluster_may_come_to_have_is_waited_for(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"CPU": 0.0, "memory": 64 * 2.0**30}])
    at_rest = "search.cpus_per_trial is 2, but no node has more than 0 of CPU. Lower it, or add a node."
    with pytest.raises(StudyError, match=re.escape(at_rest)):
        check_resources(Workers(1, 2.0, 0.0, None))
    monkeypatch.setenv(MAY_GROW, "cpu=8,memory=28Gi;cpu=4,gpu=2,memory=16Gi")
    check_resources(Workers(1, 8.0, 2.0, None))
    with pytest.raises(StudyError, match="more than 0 of GPU, nor may one that the cluster can add"):
        check_resources(Workers(1, 1.0, 4.0, None))


def test_the_memory_of_a_node_without_cpus_is_not_for_trials(monkeypatch):
    head, worker = {"memory": 64 * 2.0**30}, {"CPU": 2.0, "memory": 4 * 2.0**30}
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [head, worker])
    assert ray_cluster.node_memory() == 4 * 2**30
    monkeypatch.setenv(MAY_GROW, "cpu=8,memory=28Gi")
    assert ray_cluster.node_memory() == 28 * 2**30


# Runs in a process of its own: Ray reads its token once.
LOOKS = """
import json, os, sys
from pathlib import Path

import ray

from neurosearch.search.folders import StudyFolder
from neurosearch.search.ray_cluster import Workers, cluster, node_memory

found = {}
with cluster(Workers(1, 1.0, 0.0, sys.argv[1]), StudyFolder(Path(sys.argv[2]), "moons")):

    @ray.remote
    def environment():
        return Path(f"/proc/{os.getpid()}/environ").read_bytes().decode().split(chr(0)), dict(os.environ)

    found["started_with"], found["finds"] = ray.get(environment.remote())
    found["memory"] = node_memory()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def looked(ray_cluster, tmp_path_factory):
    """What a driver that knows secrets finds on a cluster in token mode whose nodes were started with them, too."""
    secrets = dict.fromkeys(SECRETS, "swordfish")
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, ray_cluster.address, str(tmp_path_factory.mktemp("driver"))],
        env={**ray_cluster.environment, **secrets},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.ray
@pytest.mark.servers
def test_workers_are_started_without_the_secrets_of_the_search(looked):
    from tests import postgres, s3

    text = "\n".join(looked["started_with"])
    assert "swordfish" not in text
    assert postgres.PASSWORD not in text
    assert s3.SECRET in text  # the key for checkpoints and data is a worker's own business
    assert {looked["finds"].get(name, "") for name in SECRETS} == {""}


@pytest.mark.ray
@pytest.mark.servers
def test_the_memory_of_a_real_node_is_told(looked):
    assert looked["memory"] > 2**28
