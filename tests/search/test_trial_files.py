"""A trial whose node is lost goes on elsewhere, from what it kept in a bucket of a real S3 server."""

import threading
from dataclasses import replace

import pytest

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.far_artifacts import S3Artifacts
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.outcome import read_result
from neurosearch.search.trial import trial_updates
from neurosearch.training.checkpoint import decode

pytestmark = pytest.mark.servers

CONFIG = {
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [4]},
    "training": {"epochs": 4, "learning_rate": 0.01},
    "growth": {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1},
    "seed": 0,
}
LEASED = LeasedTrial(2, "search", CONFIG, (0, 5), ())


def scores(outcome):
    timed = ("epoch_seconds", "images_per_second")
    return [{name: value for name, value in each.items() if name not in timed} for each in outcome.per_seed]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from neurosearch.search.folders import StudyFolder

    folder = StudyFolder(tmp_path_factory.mktemp("undisturbed"), "moons")
    (*_, last) = trial_updates(LEASED, folder, "cpu")
    return last.outcome


def test_a_trial_goes_on_on_another_node_from_where_it_was(far_folder, undisturbed):
    one, two = far_folder("one"), far_folder("two")
    begun = trial_updates(LEASED, one, "cpu")
    told = [next(begun) for _ in range(6)]  # four epochs, the wait between the seeds, one epoch more
    assert told[4].waits
    lost(begun)
    resumed = list(trial_updates(LEASED, two, "cpu"))
    assert [[record["epoch"] for record in update.records] for update in resumed[:2]] == [[1, 2, 3, 4], []]
    assert [record["epoch"] for record in resumed[2].records] == [5]
    assert scores(resumed[-1].outcome) == scores(undisturbed)
    assert artifacts_of(one).fetch(one.result(2))
    assert replace(read_result(one.result(2)).outcome, seconds=0) == replace(resumed[-1].outcome, seconds=0)


def test_two_checkpoints_and_the_final_networks_are_kept_and_the_node_is_cleared(far_folder, bucket):
    folder = far_folder()
    list(trial_updates(LEASED, folder, "cpu"))
    kept = [path.relative_to(folder.trial(2)).as_posix() for path in artifacts_of(folder).kept(folder.trial(2))]
    assert kept == [
        "result.json",
        *(
            f"seed-{seed}/{name}"
            for seed in (0, 1)
            for name in ("checkpoint-000003.pt", "checkpoint-000004.pt", "final.pt")
        ),
    ]
    assert not list(folder.trial(2).glob("seed-*"))
    assert artifacts_of(folder).fetch(folder.training(2, 1) / "final.pt")
    decode((folder.training(2, 1) / "final.pt").read_bytes())


def test_a_trial_that_had_ended_is_not_trained_again_elsewhere(far_folder):
    list(trial_updates(LEASED, far_folder("one"), "cpu"))

    def never(*args):
        raise AssertionError("trained again")

    (again,) = trial_updates(LEASED, far_folder("two"), "cpu", never)
    assert again.outcome.state == "finished"


def test_a_damaged_checkpoint_costs_one_epoch(far_folder, bucket, undisturbed):
    begun = trial_updates(LEASED, far_folder("one"), "cpu")
    for _ in range(3):
        next(begun)
    lost(begun)
    (newest,) = bucket.rglob("checkpoint-000003.pt*")
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    with pytest.warns(UserWarning, match="is damaged"):
        resumed = list(trial_updates(LEASED, far_folder("two"), "cpu"))
    assert len(resumed[0].records) == 2
    assert scores(resumed[-1].outcome) == scores(undisturbed)


def test_training_does_not_wait_for_an_upload_before_the_next_one(far_folder, monkeypatch):
    free, arrived = threading.Event(), []
    keep = S3Artifacts.keep

    def slow(self, path):
        free.wait(20)
        arrived.append(path.name)
        keep(self, path)

    monkeypatch.setattr(S3Artifacts, "keep", slow)
    begun = trial_updates(LEASED, far_folder(), "cpu")
    next(begun)
    assert arrived == []  # the first epoch was told before its checkpoint arrived
    threading.Timer(0.2, free.set).start()
    next(begun)
    assert arrived[0] == "checkpoint-000001.pt"  # the second waited for it
    begun.close()


def test_a_server_that_stays_away_halts_the_study_and_the_trial_can_go_on(far_folder, s3, undisturbed):
    folder = far_folder()
    begun = trial_updates(LEASED, folder, "cpu")
    next(begun)
    artifacts_of(folder).patience_seconds = 0.2
    s3.stop()
    try:
        *_, last = begun
    finally:
        s3.start()
    assert last.outcome is None
    assert "neurosearch resume moons" in last.halt
    (*_, end) = trial_updates(LEASED, folder, "cpu")
    assert scores(end.outcome) == scores(undisturbed)


def test_candidates_are_kept_before_the_checkpoint_that_stands_for_them(far_folder):
    folder = far_folder()
    leased = LeasedTrial(2, "search", CONFIG, (0,), (), candidates=True)
    begun = trial_updates(leased, folder, "cpu")
    told = [next(begun) for _ in range(3)]
    begun.close()
    at_rest = {record["epoch"] for update in told for record in update.records if record["at_rest"]}
    kept = {path.name for path in artifacts_of(folder).kept(folder.training(2, 0))}
    assert {name for name in kept if name.startswith("candidate")} == {f"candidate-{epoch:06d}.pt" for epoch in at_rest}


def lost(begun):
    """Lets go of a trial as a lost node does, but for what had arrived; the node's own files are out of reach."""
    begun.close()
