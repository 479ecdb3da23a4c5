"""A Ray cluster as a search meets it: who is let in, what its nodes have, and what its workers do not know."""

import json
import socket
import subprocess
import sys

import pytest

from neurosearch.search import ray_cluster
from neurosearch.search.errors import StudyError
from neurosearch.search.ray_cluster import SECRETS, Workers, check_address, check_resources


@pytest.mark.parametrize("address", ["ray://cluster:10001", "auto", "cluster", "10.0.0.7:"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(StudyError, match="write host:port"):
        check_address(address)


def test_a_cluster_that_does_not_answer_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_address(f"127.0.0.1:{port}")
    with pytest.raises(StudyError, match=f"no Ray cluster answers at 127.0.0.1:{port}: Connection refused"):
        check_address(f"127.0.0.1:{port}")


def test_what_no_node_has_is_refused_though_all_have_it_together(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}])
    monkeypatch.setattr(ray_cluster, "_coming", list)
    check_resources(Workers(4, 2.0, 1.0, None))
    with pytest.raises(StudyError, match=r"search\.gpus_per_trial is 2, but no node has more than 1 of GPU\. Lower it"):
        check_resources(Workers(1, 1.0, 2.0, None))
    with pytest.raises(StudyError, match=r"search\.cpus_per_trial is 3, but no node has more than 2 of CPU"):
        check_resources(Workers(1, 3.0, 0.0, None))


# Runs in a process of its own: Ray reads its token once.
LOOKS = """
import json, os, sys
from pathlib import Path

import ray
from ray.core.generated import autoscaler_pb2

from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.ray_cluster import Workers, check_resources, cluster, node_memory

found = {}
with cluster(Workers(1, 1.0, 0.0, sys.argv[1]), StudyFolder(Path(sys.argv[2]), "moons")):

    @ray.remote
    def environment():
        return Path(f"/proc/{os.getpid()}/environ").read_bytes().decode().split(chr(0)), dict(os.environ)

    found["started_with"], found["finds"] = ray.get(environment.remote())
    found["memory"] = node_memory()
    many = Workers(1, 1.0, 2.0, None)
    for groups in ([], [autoscaler_pb2.NodeGroupConfig(name="gpu", resources={"GPU": 2}, max_count=3)]):
        config = autoscaler_pb2.ClusterConfig(node_group_configs=groups)
        ray._private.worker.global_worker.gcs_client.internal_kv_put(
            ray._raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode(),
            config.SerializeToString(),
            True,
            ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE.encode(),
        )
        try:
            check_resources(many)
        except StudyError as error:
            found["refused"] = str(error)
    try:
        check_resources(Workers(1, 1.0, 4.0, None))
    except StudyError as error:
        found["refused_still"] = str(error)
    key, place = ray._raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE
    ray._private.worker.global_worker.gcs_client.internal_kv_del(key.encode(), False, place.encode())
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
def test_what_the_cluster_may_come_to_have_is_waited_for(looked):
    assert (
        "search.gpus_per_trial is 2, but no node has more than 0 of GPU. Lower it, or add a node." in looked["refused"]
    )
    assert "more than 0 of GPU, nor may one that the cluster can add" in looked["refused_still"]
    assert looked["memory"] > 2**28
