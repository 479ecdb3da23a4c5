import subprocess
import sys
from types import SimpleNamespace

import pytest

_SECONDS = 180
CONFIG = """\
name: {name}
size_limit: {{parameters: 3000}}
data: {{kind: digits, imbalance: {{ratio: 20}}}}
model: {{kind: mlp, widths: {{search: choice, options: [[8], [12], [16]]}}}}
training: {{epochs: {epochs}}}
growth: {{kind: static}}
search: {{trials: 2, concurrency: 2, sampler: random, finalists: 0, control: false, arms: []}}
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
def run_command():
    """Runs a command of ours in a process that belongs to a cluster."""

    def run(cluster, *words, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "neurosearch", *map(str, words)],
            env={**cluster.environment, **environment},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run
