import pytest

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.token import own_token


@pytest.fixture(autouse=True)
def _nobody(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_there_may_be_none():
    assert own_token() is None


def test_the_environment_comes_before_the_file_it_names_and_that_before_rays_own(monkeypatch, tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("third\n")
    found = own_token()
    assert (found.secret, found.source) == ("third", f"{tmp_path}/.ray/auth_token")
    (tmp_path / "mounted").write_text(" second\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "mounted"))
    found = own_token()
    assert (found.secret, found.source) == ("second", f"RAY_AUTH_TOKEN_PATH ({tmp_path}/mounted)")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "first\n")
    assert own_token().secret == "first"


def test_a_token_does_not_show_itself(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "tiger-and-lily")
    assert "tiger" not in repr(own_token())


def test_a_file_that_is_missing_or_holds_no_token_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "gone"))
    with pytest.raises(ClusterError, match=r"RAY_AUTH_TOKEN_PATH names .*gone, which cannot be read: No such file"):
        own_token()
    for content in (b"", b"two words", b"\xff\xfe", "t\u00f6ken".encode()):
        (tmp_path / "gone").write_bytes(content)
        with pytest.raises(ClusterError, match="should hold the cluster's token, and nothing else"):
            own_token()


@pytest.mark.parametrize("token", ["tiger\nlily", "tiger lily", "tiger\u20ac", "tiger\x7f"])
def test_a_variable_that_holds_what_cannot_be_sent_is_named_without_showing_it(token, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(ClusterError, match="RAY_AUTH_TOKEN holds no token") as refused:
        own_token()
    assert "tiger" not in str(refused.value)
