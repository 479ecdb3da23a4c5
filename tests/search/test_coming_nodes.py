import pytest

from neurosearch.search.coming_nodes import MAY_GROW, ComingNode, coming_nodes, coming_words
from neurosearch.search.errors import StudyError

POOLS = (ComingNode(8, 0, 28), ComingNode(16, 2, 60), ComingNode(4, 0, 0))


def test_what_is_written_reads_back(monkeypatch):
    monkeypatch.setenv(MAY_GROW, coming_words(POOLS))
    assert coming_nodes() == POOLS
    assert coming_words(POOLS) == "cpu=8,memory=28Gi;cpu=16,gpu=2,memory=60Gi;cpu=4"


@pytest.mark.parametrize("said", ["", " ; "])
def test_without_a_word_nothing_comes(said, monkeypatch):
    monkeypatch.setenv(MAY_GROW, said)
    assert coming_nodes() == ()
    monkeypatch.delenv(MAY_GROW)
    assert coming_nodes() == ()


@pytest.mark.parametrize("said", ["8", "gpu=1", "cpu=8,memory=28", "cpu=8,cpu=9", "cpu=-1"])
def test_what_cannot_be_read_is_refused_with_what_to_write(said, monkeypatch):
    monkeypatch.setenv(MAY_GROW, f"cpu=8;{said}")
    with pytest.raises(StudyError, match=f"NEUROSEARCH_MAY_GROW says {said!r}.*Write cpu=8,memory=28Gi"):
        coming_nodes()


def test_a_node_is_told_under_rays_names():
    assert ComingNode(16, 2, 1).resources == {"CPU": 16.0, "GPU": 2.0, "memory": 2.0**30}
