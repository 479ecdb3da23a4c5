import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A package of the same shape as ours that keeps every contract: one module in each place, and each uses what it may.
KEEPS = {
    "__init__": "",
    "names": "",
    "randomness": "import hashlib",
    "neurons.__init__": "import torch",
    "neurons.surgery": "import torch\nimport neurosearch.names",
    "growth.__init__": "",
    "growth.periodic": "import torch\nfrom neurosearch.neurons import surgery",
    "models.__init__": "",
    "models.mlp": "import torch",
    "data.__init__": "",
    "data.digits": "import numpy\n\n\ndef load():\n    import sklearn",
    "training.__init__": "",
    "training.trainer": "import torch\nfrom neurosearch import names\nfrom neurosearch.growth import periodic",
    "config.__init__": "",
    "config.study": "import pydantic\nfrom neurosearch import names",
    "build.__init__": "",
    "build.trial": "from neurosearch.config import study\nfrom neurosearch.training import trainer",
    "tracking.__init__": "",
    "tracking.mlflow_tracker": "import mlflow\nfrom neurosearch.config import study",
    "search.__init__": "",
    "search.trial": "from neurosearch.build import trial\nfrom neurosearch.training import trainer",
    "search.study": "import optuna\nfrom neurosearch.tracking import mlflow_tracker",
    "search.space": "import optuna",
    "search.ray_tune": "import ray\nfrom neurosearch.search import study, trial",
    "export.__init__": "",
    "export.freeze": "import torch\nfrom neurosearch.build import trial",
    "cluster.__init__": "",
    "cluster.submit": "import ray",
    "report.__init__": "",
    "report.page": "from neurosearch.search import study",
    "cli.__init__": "",
    "cli.search": "def run():\n    from neurosearch.search import ray_tune\n    from neurosearch.report import page",
    "__main__": "from neurosearch.cli import search",
}

ONE_WAY = "Rooms import one way"
CONFIG = "The config stands alone"
CORE = "The core rooms stay with torch and numpy"
TRIAL = "One trial runs without Ray"
RAY = "Only search.ray_tune and the cluster know Ray"
OPTUNA = "Only search.study and search.space know Optuna"
MLFLOW = "Only tracking knows MLflow"

# Where, what is imported there, and the contract that it breaks.
BREAKS = [
    ("neurons.surgery", "from neurosearch.training import trainer", ONE_WAY),
    ("neurons.surgery", "from neurosearch.config import study", ONE_WAY),
    ("training.trainer", "from neurosearch.config import study", ONE_WAY),
    ("training.trainer", "def late():\n    from neurosearch.build import trial", ONE_WAY),
    ("growth.periodic", "from neurosearch.models import mlp", ONE_WAY),
    ("data.digits", "from neurosearch.training import trainer", ONE_WAY),
    ("build.trial", "from neurosearch.search import trial", ONE_WAY),
    ("tracking.mlflow_tracker", "from neurosearch.search import study", ONE_WAY),
    ("export.freeze", "from neurosearch.cli import search", ONE_WAY),
    ("names", "from neurosearch.neurons import surgery", ONE_WAY),
    ("a_room_without_a_place", "", ONE_WAY),
    ("config.study", "from neurosearch.growth import periodic", CONFIG),
    ("config.__init__", "import torch", CONFIG),
    ("config.study", "def late():\n    import sklearn", CONFIG),
    ("config.study", "import optuna", CONFIG),
    ("neurons.__init__", "import pydantic", CORE),
    ("growth.periodic", "import ray", CORE),
    ("models.mlp", "def late():\n    import sklearn", CORE),
    ("training.trainer", "import mlflow", CORE),
    ("training.trainer", "import optuna", CORE),
    ("search.trial", "import ray", TRIAL),
    ("search.trial", "from neurosearch.search import ray_tune", TRIAL),
    ("search.__init__", "from neurosearch.search import ray_tune", TRIAL),
    ("search.study", "import ray", RAY),
    ("search.ray_tune", "import optuna", OPTUNA),
    ("cli.search", "import optuna", OPTUNA),
    ("export.freeze", "import mlflow", MLFLOW),
]


def broken_contracts(folder, **changes):
    """Write the package with the changes into the folder, and return how the linter names what it breaks."""
    for name, text in (KEEPS | changes).items():
        path = folder.joinpath("neurosearch", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    broken = [line.split(" BROKEN")[0] for line in done.stdout.splitlines() if " BROKEN" in line]
    assert "Contracts: " in done.stdout, done.stdout
    assert (done.returncode != 0) == bool(broken)
    return broken


def test_a_package_that_keeps_the_contracts_is_let_through(tmp_path):
    assert broken_contracts(tmp_path) == []


@pytest.mark.parametrize(("module", "offence", "contract"), BREAKS)
def test_a_forbidden_import_breaks_its_contract(tmp_path, module, offence, contract):
    broken = broken_contracts(tmp_path, **{module: f"{KEEPS.get(module, '')}\n{offence}"})
    assert any(name.startswith(contract) for name in broken), broken
