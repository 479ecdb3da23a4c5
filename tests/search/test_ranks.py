"""Real processes that train one network together, on the CPU by Gloo."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from neurosearch import names
from neurosearch.config.trial import TrialConfig
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.ranks import RankedTraining, RankError, _cause, ranked
from neurosearch.search.trial import open_training, trial_updates
from neurosearch.training.checkpoint import decode
from neurosearch.training.memory import OutOfMemory
from neurosearch.training.records import TrialFailed

CONFIG = {
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [8, 6], "norm": "none"},
    "training": {"epochs": 4, "learning_rate": 0.01, "batch_size": 200},
    "growth": {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1, "stop_share": 1.0},
}
LEASED = LeasedTrial(2, "search", CONFIG, (0,), ())


def children(process):
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def ranks():
    """Returns the processes that train, oldest first."""
    return [each for each in children(os.getpid()) if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def weights(folder):
    return decode((folder.training(2, 0) / "final.pt").read_bytes())["weights"]


def test_a_trial_on_two_processes_ends_as_on_one_and_a_killed_one_fails_it(folder, tmp_path):
    alone = type(folder)(tmp_path / "alone", "moons")
    (*_, expected) = trial_updates(LEASED, alone, "cpu", open_training)
    updates = list(trial_updates(LEASED, folder, "cpu", ranked(2)))
    found = updates[-1].outcome
    assert (found.state, found.epochs) == ("finished", 4)
    assert sum(len(update.records) for update in updates) == 4
    assert updates[0].records[0]["checkpoint"] == "checkpoint-000001.pt"
    for name in (names.BALANCED_ACCURACY, names.TASK_LOSS, names.PARAMETERS, names.TRAINING_MULTIPLY_ADDS):
        assert found.metrics[name] == pytest.approx(expected.outcome.metrics[name], rel=1e-4), name
    for name, tensor in weights(alone).items():
        assert torch.allclose(weights(folder)[name], tensor, atol=1e-4), name
    assert ranks() == []


def test_a_killed_process_fails_the_trial_and_a_new_one_goes_on_from_the_checkpoint(folder):
    updates = trial_updates(LEASED, folder, "cpu", ranked(2))
    next(updates)
    os.kill(ranks()[1], signal.SIGKILL)
    (last,) = updates
    assert last.outcome.state == "failed"
    assert last.outcome.reason.startswith("process 1 of the trial's 2 was killed by signal 9; the others were ended.")
    assert ranks() == []
    again = RankedTraining(TrialConfig.model_validate(CONFIG), folder, folder.training(2, 0), "cpu", 2)
    assert [record.epoch for record in again.history] == [1]
    epochs = again.epochs()
    assert next(epochs).epoch == 2
    epochs.close()  # as when the study says that the trial shall stop
    assert ranks() == []


ORPHAN = """
import sys
from pathlib import Path
from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.ranks import RankedTraining
import json

folder = StudyFolder.at(sys.argv[1])
training = RankedTraining(TrialConfig.model_validate(json.loads(sys.argv[2])), folder, folder.training(2, 0), "cpu", 2)
print(" ".join(str(each.pid) for each in training._group._processes), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_the_processes_end_when_the_trial_s_is_killed(folder):
    import json

    arguments = [sys.executable, "-c", ORPHAN, str(folder.path), json.dumps(CONFIG)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        found = [int(each) for each in parent.stdout.readline().split()]
        assert len(found) == 2
        parent.kill()
    until = time.monotonic() + 20
    while any(Path(f"/proc/{each}").exists() for each in found) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{each}").exists() for each in found)


def test_what_failed_is_told_and_not_what_the_others_say_of_it():
    lost = ("error", "RuntimeError: [/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    short, failed, died = (
        ("short", "memory ran out"),
        ("failed", "the loss became nan"),
        ("died", "process 1 of 2 ended"),
    )
    assert isinstance(_cause([lost, short]), OutOfMemory)
    assert _cause([lost, failed]).reason == "the loss became nan"
    assert isinstance(_cause([lost, died]), TrialFailed)
    own = _cause([lost, ("error", "Traceback ...\nKeyError: 'surplus'\n"), died])
    assert isinstance(own, RankError)
    assert str(own) == "KeyError: 'surplus'"
