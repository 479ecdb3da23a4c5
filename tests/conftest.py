import os

import hypothesis
import pytest

# Nothing a test does may leave the machine: the frameworks' own reports on their use are off.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

# An example's time says more about the machine than about the code, so none is too slow.
hypothesis.settings.register_profile(
    "neurosearch", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("neurosearch")


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none; torch is imported only if such a test was chosen."""
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not for_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in for_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


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
