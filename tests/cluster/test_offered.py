import pytest

from neurosearch.cluster.offered import Node, fewer_at_once, shortages
from neurosearch.config.search import SearchFields

NODES = (Node(16.0, 0.0), Node(8.0, 2.0))


def search(**fields):
    return SearchFields.model_validate(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cpus_per_trial": 16.0},
        {"gpus_per_trial": 2.0},
        {"gpus_per_trial": 0.25, "cpus_per_trial": 8.0},
        {"gpus_per_trial": "auto"},
    ],
)
def test_what_a_node_has_may_be_asked_for(fields):
    assert list(shortages(search(**fields), NODES)) == []


def test_what_no_node_has_is_named_with_what_there_is():
    found = dict(shortages(search(cpus_per_trial=17.0, gpus_per_trial=4.0), NODES))
    assert found == {
        "search.cpus_per_trial": "one trial asks for 17 CPU, but of 2 nodes none has more than 16. Lower it, or add "
        "a node that has them.",
        "search.gpus_per_trial": "one trial asks for 4 GPU, but of 2 nodes none has more than 2. Lower it, or add a "
        "node that has them.",
    }


def test_what_two_nodes_have_only_apart_is_not_enough():
    ((field, text),) = shortages(search(cpus_per_trial=10.0, gpus_per_trial=1.0), NODES)
    assert field == "search.gpus_per_trial"
    assert text.startswith("no node has 10 CPU and 1 GPU together.")


def test_a_share_of_a_gpu_needs_a_gpu():
    ((field, _),) = shortages(search(gpus_per_trial=0.25), NODES[:1])
    assert field == "search.gpus_per_trial"
    ((field, text),) = shortages(search(gpus_per_trial="auto"), NODES[:1])
    assert "the only node has 0" in text


def test_what_the_cluster_may_add_may_be_asked_for_while_no_worker_is_there():
    head, coming = Node(0.0, 0.0), Node(8.0, 1.0)
    assert list(shortages(search(gpus_per_trial=1.0), (head,), (coming,))) == []
    ((_, text),) = shortages(search(gpus_per_trial=2.0), (head,), (coming,))
    assert text.startswith("one trial asks for 2 GPU, but no node that is there or that the cluster can add has more")
    remark = fewer_at_once(search(concurrency=4), (head,), (coming,))
    assert "room for 0 trials at a time when nothing else runs there; the others wait until the cluster" in remark


@pytest.mark.parametrize(
    ("fields", "room"),
    [
        ({"concurrency": 24}, None),
        ({"concurrency": 25}, 24),
        ({"concurrency": 9, "gpus_per_trial": 0.25}, 8),
        ({"concurrency": 2, "gpus_per_trial": 2.0}, 1),
        ({"concurrency": 3, "cpus_per_trial": 8.0}, None),
    ],
)
def test_trials_that_would_wait_are_told(fields, room):
    remark = fewer_at_once(search(**fields), NODES)
    assert remark is None if room is None else f"the nodes have room for {room} trials" in remark
