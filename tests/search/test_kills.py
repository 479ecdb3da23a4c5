"""A real search, killed again and again, ends like one that was left alone; `benchmarks/faults.py` does more of it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurosearch.config.load import load_study
from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.run import _confirmation, _reference_cost
from neurosearch.search.seams import SilentListener, SilentTracker
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study
from neurosearch.search.trial import open_training

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY = """\
name: {name}
size_limit: {{parameters: 3000}}
data: {{kind: digits, imbalance: {{ratio: 20}}}}
model: {{kind: mlp, widths: {{search: choice, options: [[8], [16], [24]]}}}}
training: {{epochs: 8, batch_size: 8, learning_rate: {{search: log_uniform, low: 1e-4, high: 1e-1}}}}
growth:
  search: one_of
  options: [{{kind: static}}, {{kind: periodic, period_epochs: 3, grown_epochs: 1}}]
search:
  trials: 8
  concurrency: 2
  deterministic: true
  stopping: {{kind: halving, reduction: 2, first_share: 0.1}}
  finalists: 1
  fresh_seeds: 2
storage: {{folder: {root}}}
tracking: {{enabled: false}}
"""
COMMAND = [sys.executable, "-c", "from neurosearch.cli import main; main()"]
NUM_KILLS = 3


def told(folder):
    """Returns what a study came to, whatever its name and however long it took."""
    return [
        (trial.number, trial.role, trial.state, trial.values, trial.epochs, trial.seeds, dict(trial.params))
        for trial in StoredStudy(folder).trials()
    ]


def written(root, name):
    path = root / f"{name}.yaml"
    path.write_text(STUDY.format(name=name, root=root), encoding="utf-8")
    return path


def descendants(pid):
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def workers_of(driver):
    for pid in descendants(driver):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith((b"ray::TrialWorker", b"ray::ResourceTrainable")):
            yield pid


def test_a_search_that_is_killed_again_and_again_ends_like_one_left_alone(tmp_path, run_desk):
    config = load_study(written(tmp_path, "alone"))
    alone = StudyFolder(tmp_path, "alone")
    study = create_study(alone, config)
    study.set_reference_cost(_reference_cost(study))
    desk = Desk(study, SilentTracker(), SilentListener(), lambda trial: {}, lambda: _confirmation(study))
    run_desk(desk, 2, open_training)  # in this process, without Ray
    study.close()

    killed, chance, folder = 0, random.Random(1), StudyFolder(tmp_path, "killed")
    words, driver = ["search", str(written(tmp_path, "killed"))], None
    deadline = time.monotonic() + 900  # ends a search that hangs; a busy machine takes minutes for each start of Ray
    with (tmp_path / "driver.log").open("ab") as log:
        try:
            while driver is None or driver.poll() != 0:
                assert time.monotonic() < deadline, (tmp_path / "driver.log").read_text()
                if driver is None or driver.poll() is not None:
                    assert driver is None or driver.returncode < 0, (tmp_path / "driver.log").read_text()
                    if folder.journal.exists():
                        words = ["resume", "killed", "--folder", str(tmp_path)]
                    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                    driver = subprocess.Popen([*COMMAND, *words], stdout=log, stderr=log, env=environment)
                time.sleep(chance.uniform(0.1, 2.0))
                workers = list(workers_of(driver.pid))
                if killed < NUM_KILLS and workers and driver.poll() is None:  # at work, so there is something to lose
                    os.kill(driver.pid if killed % 2 == 0 else chance.choice(workers), signal.SIGKILL)
                    killed += 1
        finally:
            if driver is not None:
                driver.kill()
                driver.wait()
    assert killed == NUM_KILLS
    assert told(folder) == told(alone)
    assert not [trial for trial in told(folder) if trial[2] in ("running", "failed")]
