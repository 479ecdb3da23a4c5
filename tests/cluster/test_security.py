"""Nobody in who does not belong: what strangers, foreign pages and harmful files meet at the real servers."""

import http.client
import json
import pickle
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

pytestmark = pytest.mark.ray

JOB = json.dumps({"entrypoint": "touch made-by-a-stranger"})
BROWSER = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Mode": "cors"}


def asked(address, method, path, body=None, **headers):
    """Status and text of the answer; a dash in a header's name is written as an underscore."""
    status, text, _ = answered(address, method, path, body, **headers)
    return status, text


def answered(address, method, path, body=None, **headers):
    """Status, text and headers of the answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json", **names})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace"), answer.headers
    finally:
        connection.close()


@pytest.fixture(scope="module")
def member(ray_cluster):
    return {"Authorization": f"Bearer {ray_cluster.token}"}


ASKED = [
    ("POST", "/api/jobs/"),
    ("GET", "/api/jobs/"),
    ("GET", "/api/jobs/any/logs"),
    ("POST", "/api/jobs/any/stop"),
    ("PUT", "/api/packages/gcs/any.zip"),
    ("GET", "/api/v0/nodes"),
    ("GET", "/api/v0/logs"),
    ("GET", "/nodes?view=summary"),
]


class TestStrangersAtTheDashboard:
    @pytest.mark.parametrize(("method", "path"), ASKED)
    def test_without_a_token_nothing_is_told_or_done(self, ray_cluster, method, path):
        assert asked(ray_cluster.url, method, path, JOB) == (401, "Unauthorized: Missing authentication token")

    @pytest.mark.parametrize(("method", "path"), ASKED)
    @pytest.mark.parametrize("token", ["Bearer wrong", "Bearer ", "Basic cm9vdDpyb290"])
    def test_a_wrong_token_is_refused(self, ray_cluster, method, path, token):
        status, text = asked(ray_cluster.url, method, path, JOB, Authorization=token)
        assert (status, text) == (403, "Forbidden: Invalid authentication token")

    @pytest.mark.parametrize(("token", "status"), [(None, 401), ("Bearer wrong", 403), ("right", 200)])
    def test_the_token_decides_under_whatever_name_the_dashboard_is_called(self, ray_cluster, member, token, status):
        """A page whose name leads here (DNS rebinding) sends its own name as host: Ray heeds none, it has no token."""
        known = {None: {}, "right": member}.get(token, {"Authorization": token})
        for name in ({}, {"Host": "evil.example"}):
            assert asked(ray_cluster.url, "GET", "/api/jobs/", **name, **known)[0] == status

    def test_a_browser_keeps_the_token_from_foreign_names_pages_and_scripts(self, ray_cluster, member):
        status, _, headers = answered(ray_cluster.url, "POST", "/api/authenticate", **member)
        (cookie,) = headers.get_all("Set-Cookie")
        (name, value), *attributes = (part.strip().partition("=")[::2] for part in cookie.split(";"))
        kept = {key.lower(): text for key, text in attributes}
        assert (status, name, value) == (200, "ray-authentication-token", ray_cluster.token)
        assert (kept["samesite"], "httponly" in kept, "domain" in kept) == ("Strict", True, False)

    @pytest.mark.parametrize("host", [{}, {"Host": "evil.example"}])
    def test_even_a_page_with_the_token_starts_and_stops_nothing(self, ray_cluster, member, host):
        for path in ("/api/jobs/", "/api/jobs/any/stop"):
            status, text = asked(ray_cluster.url, "POST", path, JOB, **host, **BROWSER, **member)
            assert (status, text) == (405, "'POST' method not allowed for browser traffic.")
        assert not any("stranger" in job["entrypoint"] for job in ray_cluster.get("/api/jobs/"))

    def test_a_foreign_page_starts_no_job_with_its_visitors_token(self, ray_cluster):
        cookie = f"ray-authentication-token={ray_cluster.token}"
        assert asked(ray_cluster.url, "GET", "/api/jobs/", Cookie=cookie)[0] == 200
        for origin in ("http://evil.example", "null"):
            status, text = asked(ray_cluster.url, "POST", "/api/jobs/", JOB, Cookie=cookie, Origin=origin)
            assert status == 405
            assert "not allowed for browser traffic" in text
        assert not any("stranger" in job["entrypoint"] for job in ray_cluster.get("/api/jobs/"))

    def test_a_driver_without_the_token_does_not_get_to_the_cluster(self, ray_cluster, type_in, write_config, tmp_path):
        config = write_config(tmp_path)
        refused = type_in(
            "search", config, "--address", ray_cluster.address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="no"
        )
        assert refused.code == 2, refused.out + refused.err
        assert "does not let this machine in. If it wants a token, set RAY_AUTH_MODE=token" in refused.err
        assert not list((tmp_path / "runs").glob("first/trials/*"))


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestHarmfulFiles:
    @pytest.fixture
    def refused(self, ray_cluster, type_in, write_config, tmp_path):
        """Submits a study with some sections replaced and returns the words of its refusal."""

        def submit(**sections):
            before = len(ray_cluster.get("/api/jobs/"))
            done = type_in(
                "submit",
                write_config(tmp_path, **sections),
                "--address",
                ray_cluster.url,
                "--json",
                cluster=ray_cluster,
            )
            assert done.code == 2, done.out
            jobs = ray_cluster.get("/api/jobs/")
            assert not any(job["submission_id"].startswith("first-") for job in jobs[: len(jobs) - before])
            return "\n".join(problem["text"] for problem in done.facts["problems"])

        return submit

    @pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
    def test_a_pickle_offered_as_a_model_is_not_opened(self, refused, tmp_path, write):
        write(Harmful(tmp_path / "made"), tmp_path / "model.pt")
        assert "objects, which are never unpickled" in refused(model="{kind: mlp, widths: [8], weights: model.pt}")
        assert not (tmp_path / "made").exists()

    def test_a_yaml_with_object_tags_is_refused_here(self, refused, tmp_path):
        text = refused(growth=f"!!python/object/apply:os.system ['touch {tmp_path}/made']")
        assert "the tag !!python/object/apply:os.system is refused: write plain YAML values." in text
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("path", ["/etc/passwd", "/etc/../etc/shadow", "~/.ray/auth_token"])
    def test_files_outside_the_data_roots_are_refused(self, refused, path):
        text = refused(data=f"{{kind: npz, path: {path}}}")
        assert "lies outside the folders that a config may name on this machine (NEUROSEARCH_DATA_ROOTS is" in text

    @pytest.mark.parametrize(
        "sections",
        [
            {"data": "{kind: npz, path: '/var/a://../../etc/x.npz'}"},
            {"tracking": "{uri: 'sqlite:////var/tmp/neurosearch-outside.db'}"},
            {"tracking": "{uri: 'file:///var/tmp/neurosearch-outside'}"},
            {"search": "{trials: 2, warm_start: {study: a, folder: /etc}}"},
        ],
    )
    def test_no_other_field_names_what_is_outside_the_data_roots(self, refused, sections):
        assert "lies outside the folders that a config may name" in refused(**sections)
        assert not list(Path("/var/tmp").glob("neurosearch-outside*"))

    def test_links_do_not_lead_out_of_the_data_roots(self, refused, tmp_path):
        (tmp_path / "inside.npz").symlink_to("/etc/passwd")
        text = refused(data=f"{{kind: npz, path: {tmp_path}/inside.npz}}")
        assert "lies outside the folders that a config may name" in text

    def test_a_study_is_not_written_outside_the_data_roots(self, refused):
        target = Path("/var/tmp/neurosearch-outside")
        assert "lies outside the folders" in refused(storage=f"{{folder: {target}}}")
        assert not target.exists()
