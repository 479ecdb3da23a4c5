import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from neurosearch.cli.app import app

_SECONDS = 180
CONFIG = """\
name: {name}
size_limit: {{parameters: 3000}}
data: {{kind: digits, imbalance: {{ratio: 20}}}}
model: {{kind: mlp, widths: {{search: choice, options: [[8], [12], [16]]}}}}
training: {{epochs: {epochs}}}
growth: {{kind: static}}
search: {{trials: 2, concurrency: 1, sampler: random, finalists: 0, control: false, arms: []}}
tracking: {{enabled: false}}
storage: {{folder: {folder}/runs}}
"""


@pytest.fixture(scope="session")
def write_config():
    """Writes the config of a small study, which is kept in `runs` beside it; `more` replaces whole sections."""

    def write(folder, name="first", epochs=2, **more):
        text = CONFIG.format(name=name, epochs=epochs, folder=folder)
        lines = [line for line in text.splitlines() if line.partition(":")[0] not in more]
        path = folder / f"{name}.yaml"
        path.write_text("\n".join([*lines, *(f"{key}: {value}" for key, value in more.items())]))
        return path

    return write


@pytest.fixture(scope="session")
def write_arrays():
    """Writes an archive of two classes of points."""

    def write(path):
        rng, labels = np.random.default_rng(0), np.repeat(np.arange(2), 30)
        points = (rng.normal(size=(60, 3)) + labels[:, None]).astype(np.float32)
        np.savez(path, x_train=points, y_train=labels, x_test=points, y_test=labels)
        return path

    return write


@pytest.fixture(scope="session")
def type_in():
    """Types a command in this process, as a member of a cluster or, without one, as a stranger."""

    def run(*words, cluster=None, **environment):
        with pytest.MonkeyPatch.context() as patch:
            for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
                patch.delenv(name, raising=False)
            known = {} if cluster is None else {"RAY_AUTH_TOKEN": cluster.token}
            for name, value in {**known, **environment}.items():
                patch.setenv(name, str(value))
            done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return SimpleNamespace(code=done.exit_code, out=done.stdout, err=done.stderr, facts=_facts(done.stdout))

    return run


def _facts(out):
    return json.loads(out) if out.startswith("{") and out.count("\n") == 1 else None


@pytest.fixture(scope="session")
def wait_until():
    """Waits until something is so."""

    def wait(is_so):
        until = time.monotonic() + _SECONDS
        while not is_so():
            assert time.monotonic() < until
            time.sleep(0.2)

    return wait
