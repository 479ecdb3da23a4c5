"""A cluster that an autoscaler grows, at rest: a head that no trial runs on, and workers that come once trials wait."""

import pytest

from tests.ray_cluster import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory):
    roots = str(tmp_path_factory.getbasetemp())
    may_grow = "cpu=2,memory=4Gi;cpu=2,gpu=1,memory=4Gi"
    cluster = Cluster(cpus=0, OMP_NUM_THREADS="1", NEUROSEARCH_DATA_ROOTS=roots, NEUROSEARCH_MAY_GROW=may_grow)
    yield cluster
    cluster.remove()


def test_a_search_is_taken_while_no_worker_is_there_and_ends_once_one_has_come(
    at_rest, type_in, write_config, tmp_path, wait_until
):
    def typed(*words, code=0):
        done = type_in(*words, "--address", at_rest.url, "--json", cluster=at_rest)
        assert done.code == code, done.err + done.out
        return done.facts

    config = write_config(tmp_path)
    refused = typed("submit", config, "--set", "search.cpus_per_trial=3", code=2)
    assert "no node that is there or that the cluster can add has more than 2" in refused["problems"][0]["text"]

    facts = typed("submit", config)
    assert any("room for 0 trials at a time" in note and "has grown" in note for note in facts["notes"])
    wait_until(lambda: asks_for_cpus(at_rest))
    assert typed("logs", "first")["state"] == "running"

    at_rest.add_node(cpus=2)
    wait_until(lambda: typed("logs", "first")["state"] not in ("pending", "running"))
    assert typed("status", "first")["counts"]["finished"] == 2


def asks_for_cpus(cluster):
    """Tell whether a trial waits for a node, as the autoscaler sees it."""
    groups = cluster.get("/api/v0/placement_groups?detail=true")["data"]["result"]["result"]
    return any(each["state"] == "PENDING" for each in groups)
