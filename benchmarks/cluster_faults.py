"""Kills everything that a search on a cluster consists of, at random moments, and counts what is lost or different.

A Ray head and a second node in token mode, PostgreSQL with the trials, an S3 server with what they leave, and an MLflow
server with a password, which keeps its runs in PostgreSQL and its files in S3: all on this machine, and no folder is
shared, for every node and the driver have a home of their own. A deterministic search runs through the command line;
again and again one of worker, second node, MLflow server, PostgreSQL, S3 server and driver gets SIGKILL, and is started
again as a user would. When a search has ended, the next one of the same config starts, until each has been killed often
enough. Each must end like the first, which was left alone. The file is long because all of it is one machinery: what is
killed must be started again, and both are read together.

`lost`: trials that have no final state, whose MLflow run misses an epoch, or whose result or kept network is not in S3.
`doubled`: trials with more than one run, configs tried twice, and steps that stand in a run twice. `same_study`:
whether every search ended with the trials, states, values and front of the first. `checksum_errors`: objects whose
content has not the SHA-256 of its name, networks that do not load, and files that MLflow gives back differently.

This file is longer than most: the servers, who kills them, and what is counted afterwards are read together.

Usage: python benchmarks/cluster_faults.py [--each 5] [--seed 0] [--quick]
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fault_tools import COMMAND, Process, compared, descendants, difference, is_worker, outcome_of
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import StoredStudy
from neurosearch.training.checkpoint import decode
from tests import mlflow_server, postgres, s3
from tests.ray_cluster import Cluster

TARGETS = ("worker", "node", "mlflow", "postgres", "s3", "driver")
STUDY = """\
name: {name}
size_limit: {{parameters: 20000}}
data: {{kind: digits, imbalance: {{ratio: 20}}}}
model: {{kind: mlp, widths: {{search: choice, options: [[16], [32], [32, 16]]}}}}
training:
  epochs: {epochs}
  batch_size: 16
  learning_rate: {{search: log_uniform, low: 1e-4, high: 1e-1}}
growth:
  search: one_of
  options:
    - {{kind: static}}
    - {{kind: periodic, period_epochs: 3, grown_epochs: 1, grow_share: {{search: uniform, low: 0.25, high: 1.0}}}}
search:
  trials: {trials}
  concurrency: 2
  deterministic: true
  stopping: {{kind: halving, reduction: 2, first_share: 0.1}}
  finalists: 1
  fresh_seeds: 1
  arms: []
tracking: {{uri: "{uri}"}}
storage:
  folder: runs
  database: {database}
  artifacts: s3://studies/team
  s3: {{endpoint: "{endpoint}", path_style: true}}
"""
FATAL_TO_TRIALS = ("worker", "node", "driver")
AT_A_TIME_SECONDS = (1.0, 7.0)  # between two kills
DOWN_SECONDS = (0.2, 4.0)  # of a server
RESUMES = 60  # most starts of one driver's search


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=5, help="how often each is killed at least")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed when")
    parser.add_argument("--quick", action="store_true", help="a few trials, each killed once")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that all that was started ends with it
    each, trials = (1, 6) if arguments.quick else (arguments.each, arguments.trials)
    with tempfile.TemporaryDirectory(prefix="faults-") as root, machinery(Path(root)) as machines:
        study = {"epochs": arguments.epochs, "trials": trials}
        print(json.dumps(measured(machines, study, each, random.Random(arguments.seed))))


def measured(machines: "Machines", study: dict[str, int], each: int, chance: random.Random) -> dict[str, Any]:
    """Searches undisturbed once, then under kills until they are used up."""
    started = time.monotonic()
    first = Search(machines, "undisturbed", study)
    first.run([], [], chance)
    reference, figures = first.outcome(), first.counted()
    print(f"undisturbed: {len(reference)} trials in {time.monotonic() - started:.0f} s", file=sys.stderr)
    left = [target for target in TARGETS for _ in range(each)]
    chance.shuffle(left)
    kills: list[str] = []
    same, starts, number = True, 0, 0
    while left:
        number += 1
        search = Search(machines, f"disturbed-{number}", study)
        search.run(left, kills, chance)
        is_same, found = search.outcome() == reference, search.counted()
        figures.update(found)
        same, starts = same and is_same, starts + search.starts
        print(f"{search.name}: {len(kills)} kills so far, same study {is_same}, {dict(found)}", file=sys.stderr)
        if not is_same:
            print(difference(reference, search.outcome()), file=sys.stderr)
    return {
        "kills": len(kills),
        "kills_by_target": dict(sorted(Counter(kills).items())),
        "searches": number,
        "trials_each": len(reference),
        "lost": figures["lost"],
        "doubled": figures["doubled"] + figures["epochs_doubled"],
        "same_study": same,
        "checksum_errors": figures["checksum_errors"],
        "left_running": figures["left_running"],
        "objects_checked": figures["objects_checked"],
        "starts_of_drivers": starts,
        "halts": machines.halts,
        "seconds": round(time.monotonic() - started),
    }


class Machines:
    """Two Ray nodes, PostgreSQL, an S3 server and an MLflow server on this machine."""

    def __init__(self, root: Path) -> None:
        self.root, self.halts = root, 0
        self.bucket = "studies"
        self.postgres, self.s3 = postgres.Server(), s3.Server()
        for name in (self.bucket, "mlflow"):
            (self.s3.folder / name).mkdir()
        self.keys = {
            "AWS_ACCESS_KEY_ID": s3.KEY,
            "AWS_SECRET_ACCESS_KEY": s3.SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "RAY_worker_niceness": "0",  # Ray's 15 would starve the workers beside all that runs here
        }
        self.database = self.postgres.new_database()
        self.mlflow = self._mlflow()
        self.cluster = Cluster(cpus=1, OMP_NUM_THREADS="1", HOME=self.home("head"), **self.keys)
        self.node = self._second_node()
        self._coming: threading.Thread | None = None

    @property
    def secrets(self) -> dict[str, str]:
        """What the driver alone knows."""
        return {
            "NEUROSEARCH_DATABASE_PASSWORD": postgres.PASSWORD,
            "MLFLOW_TRACKING_USERNAME": mlflow_server.USER,
            "MLFLOW_TRACKING_PASSWORD": mlflow_server.PASSWORD,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Of a driver."""
        own = {"HOME": self.home("driver"), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return {**self.cluster.environment, **self.keys, **self.secrets, **own}

    def home(self, name: str) -> str:
        """Returns a home folder, with all that is cached below it."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return str(folder)

    def kill_node(self) -> None:
        """Kills the second node and lets another one come, whose disk is empty."""
        self._end_node()
        shutil.rmtree(self.root / "node", ignore_errors=True)
        self.node = self._second_node()

    def kill_mlflow(self, down_seconds: float) -> None:
        """Kills the MLflow server; it comes again on its database."""
        self.settle()
        self.mlflow.kill()
        self._coming = threading.Thread(target=self._bring_mlflow, args=(down_seconds,), daemon=True)
        self._coming.start()

    def kill_postgres(self, down_seconds: float) -> None:
        """Kills PostgreSQL with all its processes; it comes again."""
        self.postgres.kill()
        time.sleep(down_seconds)
        self.postgres.start()

    def kill_s3(self, down_seconds: float) -> None:
        """Kills the S3 server; it comes again."""
        self.s3.stop()
        time.sleep(down_seconds)
        self.s3.start()

    def workers(self) -> list[int]:
        """Returns the ids of the processes that run trials."""
        groups = (self.cluster.head.pid, self.node.pid)
        return [pid for group in groups for pid in descendants(group) if is_worker(pid)]

    def settle(self) -> None:
        """Waits until the MLflow server, which takes longest to come up, is there again."""
        if self._coming is not None:
            self._coming.join()

    def end(self) -> None:
        """Kills everything."""
        self.settle()
        self._end_node()
        self.cluster.remove()
        self.mlflow.kill()
        self.postgres.remove()
        self.s3.remove()

    def _bring_mlflow(self, down_seconds: float) -> None:
        time.sleep(down_seconds)
        self.mlflow.start()

    def _second_node(self) -> Process:
        words = [f"--address={self.cluster.address}", "--num-cpus=1", "--node-ip-address=127.0.0.1"]
        words += [f"--object-store-memory={100 * 2**20}", "--disable-usage-stats", "--block"]
        environment = {**self.cluster.environment, **self.keys, "OMP_NUM_THREADS": "1", "HOME": self.home("node")}
        command = [str(Path(sys.executable).with_name("ray")), "start", *words]
        return Process(command, self.root / "node.log", env=environment)

    def _end_node(self) -> None:
        for pid in (*descendants(self.node.pid), self.node.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.node.kill()

    def _mlflow(self) -> mlflow_server.Server:
        self.postgres.sql("CREATE DATABASE mlflow")
        user = f"{postgres.OWNER}:{quote(postgres.PASSWORD)}"
        database = f"postgresql+pg8000://{user}@127.0.0.1:{self.postgres.port}/mlflow"
        more = {**self.keys, "MLFLOW_S3_ENDPOINT_URL": self.s3.endpoint}
        server = mlflow_server.Server(self.root / "mlflow", database, "s3://mlflow/files", secured=True, **more)
        server.start()
        return server


@contextmanager
def machinery(root: Path) -> Iterator[Machines]:
    """Starts the machines; they end with the block."""
    machines = Machines(root)
    os.environ.update({**machines.keys, **machines.secrets})  # this process looks on as the driver would
    try:
        yield machines
    finally:
        machines.end()


class Search:
    """One study, from its start to its end, through any number of kills."""

    def __init__(self, machines: Machines, name: str, study: dict[str, int]) -> None:
        self.name, self.starts, self._told = name, 0, 0
        self._machines = machines
        self._place = Path(machines.home("driver"))
        self._log = machines.root / f"{name}.log"
        self._config = machines.root / f"{name}.yaml"
        places = {"uri": machines.mlflow.uri, "database": machines.database, "endpoint": machines.s3.endpoint}
        self._config.write_text(STUDY.format(name=name, **study, **places))
        self._folder = StudyFolder(self._place / "runs", name, machines.database)

    def run(self, left: list[str], kills: list[str], chance: random.Random) -> None:
        """Searches to the end; takes from `left` what is to be killed, and appends it to `kills`."""
        driver = self._driver()
        while True:
            if driver.code is None and left:
                self._wait(driver, chance.uniform(*AT_A_TIME_SECONDS), past=left[-1] in FATAL_TO_TRIALS)
                if driver.code is None and self._killed(left[-1], driver, chance):
                    kills.append(left.pop())
                    self._told = self._epochs_told()
                    print(f"  killed {kills[-1]} ({len(left)} to go)", file=sys.stderr)
            elif driver.code is None:
                self._wait(driver, 1.0)
            if driver.code == 0:
                break
            if driver.code is not None:
                self._machines.halts += driver.code > 0  # a killed one did not halt
                assert self.starts < RESUMES, f"{self.name} does not end\n{self._log.read_text()[-3000:]}"
                driver = self._driver()
        self._machines.settle()
        if self.starts > 1 or kills:  # what MLflow missed while it was down
            self._command("sync", self.name, "--database", self._machines.database)
            # Where MLflow was down at the very end, the search has told that it has no model yet, and to do this.
            self._command("export", self.name, "--database", self._machines.database)

    def outcome(self) -> list[Any]:
        """Returns what the study came to."""
        return outcome_of(StoredStudy(self._folder))

    def counted(self) -> Counter[str]:
        """Compares the study with MLflow, and what is in S3 with what should be."""
        study, client = StoredStudy(self._folder), MlflowClient(self._machines.mlflow.uri)
        found = compared(study, client)
        found.update(self._in_s3(study))
        found.update(self._in_mlflow(client))
        return found

    def _in_s3(self, study: StoredStudy) -> Counter[str]:
        """Looks into every object of the study, behind the server's back."""
        found: Counter[str] = Counter()
        root = self._machines.s3.folder / self._machines.bucket / "team" / self.name
        for path in (each for each in root.rglob("*") if each.is_file()):
            content = path.read_bytes()
            name, _, digest = path.name.partition(".sha256-")
            is_right = hashlib.sha256(content).hexdigest() == digest
            found["objects_checked"] += 1
            found["checksum_errors"] += not is_right or (name.endswith(".pt") and not loads(content))
        artifacts = artifacts_of(study.folder)
        kept = set(artifacts.kept(study.folder.trials))
        for trial in study.trials():
            found["lost"] += study.folder.result(trial.number) not in kept
            found["lost"] += trial.state == "running"
        best = study.best()
        networks = [study.folder.training(best.number, index) / "final.pt" for index in range(len(best.seeds))]
        found["lost"] += sum(path not in kept for path in networks)
        return found

    def _in_mlflow(self, client: MlflowClient) -> Counter[str]:
        """Compares the exported files with what MLflow's model of them gives back."""
        exported = self._folder.export / "network.onnx"
        assert exported.exists(), f"nothing was exported\n{self._log.read_text()[-3000:]}"
        digest = hashlib.sha256(exported.read_bytes()).hexdigest()
        version = client.get_model_version_by_alias(self.name, "best")
        with tempfile.TemporaryDirectory() as folder:
            download_artifacts(version.source, dst_path=folder, tracking_uri=self._machines.mlflow.uri)
            same = [path for path in Path(folder).rglob("*.onnx") if file_digest(path) == digest]
        return Counter({"checksum_errors": int(not same)})

    def _killed(self, target: str, driver: Process, chance: random.Random) -> bool:
        machines, down = self._machines, chance.uniform(*DOWN_SECONDS)
        match target:
            case "driver":
                driver.kill()
            case "worker":
                return kill_one_of(machines.workers(), chance)
            case "node":
                machines.kill_node()
            case "mlflow":
                machines.kill_mlflow(down)
            case "postgres":
                machines.kill_postgres(down)
            case "s3":
                machines.kill_s3(down)
        return True

    def _driver(self) -> Process:
        self.starts += 1
        words = ["search", str(self._config), "--resume", "--address", self._machines.cluster.address]
        return Process([*COMMAND, *words], self._log, env=self._machines.environment, cwd=self._place)

    def _command(self, *words: str) -> None:
        done = Process([*COMMAND, *words], self._log, env=self._machines.environment, cwd=self._place)
        while done.code is None:
            time.sleep(0.2)
        assert done.code == 0, f"{words[0]}\n{self._log.read_text()[-3000:]}"

    def _wait(self, driver: Process, seconds: float, *, past: bool = False) -> None:
        """Waits so long; with `past`, until an epoch was told since the last kill, and so long after it.

        A trial that loses three workers without ending an epoch in between fails, as it should.
        """
        while past and driver.code is None and self._epochs_told() <= self._told:
            time.sleep(0.2)
        until = time.monotonic() + seconds
        while driver.code is None and time.monotonic() < until:
            time.sleep(0.1)

    def _epochs_told(self) -> int:
        return self._log.read_text(errors="replace").count('"event": "epoch"') if self._log.exists() else 0


def kill_one_of(processes: list[int], chance: random.Random) -> bool:
    """Kills one of some processes; tells whether there was one."""
    if not processes:
        return False
    with suppress(ProcessLookupError):
        os.kill(chance.choice(processes), signal.SIGKILL)
        return True
    return False


def loads(content: bytes) -> bool:
    """Tells whether the content is that of a whole checkpoint or network."""
    try:
        decode(content)
    except ValueError:
        return False
    return True


def file_digest(path: Path) -> str:
    """Returns a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
