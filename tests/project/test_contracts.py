import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
IDS = {contract["name"]: contract["id"] for contract in LINTER["contracts"]}

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
    "report.page": "import plotly\nfrom neurosearch.search import study",
    "cli.__init__": "",
    "cli.search": "def run():\n    from neurosearch.search import ray_tune\n    from neurosearch.report import page",
    "__main__": "from neurosearch.cli import search",
}

# Where, what is imported there, and the id of the contract that it breaks.
BREAKS = [
    ("neurons.surgery", "from neurosearch.training import trainer", "one-way"),
    ("neurons.surgery", "from neurosearch.config import study", "one-way"),
    ("training.trainer", "from neurosearch.config import study", "one-way"),
    ("training.trainer", "def late():\n    from neurosearch.build import trial", "one-way"),
    ("growth.periodic", "from neurosearch.models import mlp", "one-way"),
    ("data.digits", "from neurosearch.training import trainer", "one-way"),
    ("build.trial", "from neurosearch.search import trial", "one-way"),
    ("tracking.mlflow_tracker", "from neurosearch.search import study", "one-way"),
    ("export.freeze", "from neurosearch.cli import search", "one-way"),
    ("names", "from neurosearch.neurons import surgery", "one-way"),
    ("a_room_without_a_place", "", "one-way"),
    ("config.study", "from neurosearch.growth import periodic", "config-rooms"),
    ("config.__init__", "import torch", "config-light"),
    ("config.study", "def late():\n    import sklearn", "config-light"),
    ("config.study", "import optuna", "config-light"),
    ("neurons.__init__", "import pydantic", "core"),
    ("growth.periodic", "import ray", "core"),
    ("models.mlp", "def late():\n    import sklearn", "core"),
    ("training.trainer", "import mlflow", "core"),
    ("training.trainer", "import optuna", "core"),
    ("search.trial", "import ray", "trial"),
    ("search.trial", "from neurosearch.search import ray_tune", "trial"),
    ("search.__init__", "from neurosearch.search import ray_tune", "trial"),
    ("search.study", "import ray", "ray-door"),
    ("search.ray_tune", "import optuna", "optuna-door"),
    ("cli.search", "import optuna", "optuna-door"),
    ("export.freeze", "import mlflow", "mlflow-door"),
    ("data.digits", "import boto3", "s3-door"),
    ("cli.search", "import plotly", "plotly-door"),
    ("search.study", "import plotly.graph_objects", "plotly-door"),
]


def broken_contracts(folder, **changes):
    """Write the package with the changes into the folder, and return the ids of the contracts that it breaks."""
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
    broken = [IDS[line.split(" BROKEN")[0]] for line in done.stdout.splitlines() if " BROKEN" in line]
    assert "Contracts: " in done.stdout, done.stdout
    assert (done.returncode != 0) == bool(broken)
    return broken


def test_a_package_that_keeps_the_contracts_is_let_through(tmp_path):
    assert broken_contracts(tmp_path) == []


@pytest.mark.parametrize(("module", "offence", "contract"), BREAKS)
def test_a_forbidden_import_breaks_its_contract(tmp_path, module, offence, contract):
    broken = broken_contracts(tmp_path, **{module: f"{KEEPS.get(module, '')}\n{offence}"})
    assert contract in broken


def test_every_contract_is_shown_to_break():
    assert {contract for _, _, contract in BREAKS} == set(IDS.values())
