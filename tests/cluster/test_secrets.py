"""A whole run on real servers, after which no secret stands in any log, artifact, database, job or command line."""

import json
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote
from zipfile import ZIP_DEFLATED, ZipFile, is_zipfile

import pytest

from tests import mlflow_server as tracking
from tests import postgres as database
from tests import s3

pytestmark = [pytest.mark.ray, pytest.mark.servers, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_arrays):
    """Where the config will lie, with its data beside it."""
    made = tmp_path_factory.mktemp("secrets")
    write_arrays(made / "mine.npz")
    return made


@pytest.fixture(scope="module")
def searched(ray_cluster, postgres, s3_server, mlflow_server, type_in, write_config, wait_until, folder):
    """The folder of a study that was searched with every server behind it, and all that was printed meanwhile."""
    (s3_server.folder / "secrets").mkdir()
    address = postgres.new_database()
    at_s3 = f'{{endpoint: "{s3_server.endpoint}", path_style: true, cache_folder: {folder}/cache}}'
    config = write_config(
        folder,
        "everywhere",
        data="{kind: npz, path: mine.npz}",
        storage=f"{{folder: {folder}/runs, database: '{address}', artifacts: s3://secrets/team, s3: {at_s3}}}",
        tracking=f'{{uri: "{mlflow_server.uri}"}}',
    )
    printed = []

    def there(*words):
        done = type_in(*words, "--address", ray_cluster.url, "--json", cluster=ray_cluster)
        printed.append(done.out + done.err)
        assert done.code == 0, printed[-1]
        return done.facts

    there("submit", config)
    wait_until(lambda: there("logs", "everywhere", "--lines", "200")["state"] not in ("pending", "running"))
    assert there("status", "everywhere")["counts"]["finished"] == 2
    (folder / "printed").write_text("\n".join(printed))
    return folder


def secrets(cluster):
    return forms(cluster.token, database.PASSWORD, s3.SECRET, tracking.PASSWORD)


def forms(*plain):
    """What secrets look like in texts: as they are, quoted for an address, and within base64."""
    return {form for secret in plain for form in (secret, quote(secret), *in_base64(secret))}


def in_base64(secret):
    """What any base64 has of a secret that stands in it, such as a login's of NAME:PASSWORD, wherever it begins."""
    for before, shared in (
        (0, 0),
        (1, 2),
        (2, 3),
    ):  # bytes of a group before it, and characters that they have a part in
        content = b"." * before + secret.encode()
        yield b64encode(content).decode()[shared : len(content) * 8 // 6]


def holding(secrets, folder, *but):
    """The files below a folder that hold one of the secrets; packages are looked into."""
    wanted = [secret.encode() for secret in secrets]
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in but)
    return [str(path) for path in files if any(each in text for text in contents(path) for each in wanted)]


def contents(path):
    """A file's content, and of a zip package that of each file in it."""
    yield path.read_bytes()
    if is_zipfile(path):
        with ZipFile(path) as package:
            yield from (package.read(name) for name in package.namelist())


@pytest.mark.parametrize("user", ["", "a", "ann", "admin"])
def test_a_secret_is_found_plain_quoted_in_a_login_and_in_a_package(tmp_path, user):
    secret = "tiger & 50 %"
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    login = b64encode(f"{user}:{secret}".encode()).decode()
    for name, text in {"plain": secret, "quoted": quote(secret), "login": f"Basic {login}", "none": user}.items():
        (hidden / name).write_text(f"before {text} after")
        with ZipFile(hidden / f"{name}.zip", "w", ZIP_DEFLATED) as package:
            package.writestr("working_dir/file", f"before {text} after" * 9)
    found = {path.rpartition("/")[2] for path in holding(forms(secret), hidden)}
    assert found == {"plain", "plain.zip", "quoted", "quoted.zip", "login", "login.zip"}


def test_the_search_left_something_everywhere(searched, s3_server, mlflow_server):
    assert (searched / "runs" / "everywhere" / "export" / "network.onnx").exists()
    assert any((s3_server.folder / "secrets").rglob("result.json*"))
    assert [path.parent.name for path in (s3_server.folder / "secrets").rglob("*.zip.sha256-*")] == ["files"]
    assert any((s3_server.folder / "mlflow").rglob("*"))


def test_no_secret_stands_in_what_was_printed_or_in_the_studys_folder(ray_cluster, searched):
    assert holding(secrets(ray_cluster), searched) == []


def test_no_secret_stands_in_rays_sessions_and_logs(ray_cluster, searched):
    assert holding(secrets(ray_cluster), ray_cluster.folder) == []


def test_no_secret_stands_in_the_artifacts(ray_cluster, searched, s3_server):
    assert holding(secrets(ray_cluster), s3_server.folder) == []


def test_no_secret_stands_in_the_databases(ray_cluster, searched, postgres):
    postgres.sql("CHECKPOINT")
    assert holding(secrets(ray_cluster), postgres.folder, "password") == []


def test_no_secret_stands_in_the_jobs(ray_cluster, searched):
    told = json.dumps(ray_cluster.get("/api/jobs/"))
    assert "neurosearch search study.yaml" in told
    assert [secret for secret in secrets(ray_cluster) if secret in told] == []


def test_no_secret_stands_on_a_command_line(ray_cluster, searched):
    lines = {path: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_readable(path)}
    own = [line for line in lines.values() if str(ray_cluster.folder).encode() in line]
    assert own, "Ray's own processes name its folder"
    assert not any(secret.encode() in line for secret in secrets(ray_cluster) for line in own)


def _is_readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False
