import pytest

from neurosearch.cluster.address import is_job_address, job_address
from neurosearch.cluster.errors import ClusterError


def test_an_address_says_where_and_how_jobs_are_submitted():
    found = job_address("https://ray.example/team/")
    assert (found.url, found.host, found.port) == ("https://ray.example/team", "ray.example", 443)
    assert found.is_encrypted
    assert not found.is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_and_tunnels_that_begin_on_it_are_loopback(host):
    found = job_address(f"http://{host}:8265")
    assert (found.port, found.is_loopback, found.is_encrypted) == (8265, True, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.7:6379", "Ray's own address, for drivers and nodes; write the address of the cluster's dashboard"),
        ("ray://10.0.0.7:10001", "Ray's own address"),
        ("auto", "is none; write"),
        ("http://", "no address of a server"),
        ("http://host:8265?token=x", "no address of a server"),
        ("http://host:port", "host or port is malformed"),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text, why):
    with pytest.raises(ClusterError, match=why):
        job_address(text)


def test_an_address_with_a_password_is_refused_without_repeating_it():
    with pytest.raises(ClusterError, match="take it out and set RAY_AUTH_TOKEN") as refused:
        job_address("https://ann:tiger@ray.example")
    assert "tiger" not in str(refused.value)


@pytest.mark.parametrize("text", ["ann:tiger@ray.example:8265", "ray://ann:tiger@ray.example:10001"])
def test_a_password_is_repeated_of_no_address_whatever_else_is_wrong_with_it(text):
    with pytest.raises(ClusterError, match="take it out") as refused:
        job_address(text)
    assert "tiger" not in str(refused.value)


def test_a_job_servers_address_is_told_from_rays_own():
    assert is_job_address("http://127.0.0.1:8265")
    assert not is_job_address("127.0.0.1:6379")
    assert not is_job_address("auto")
    assert not is_job_address(None)
