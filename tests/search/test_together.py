"""The trials of a pack in one worker: each is told, stopped and ended as one that runs alone.

This file is longer than most: all of it is one pack and what can become of its members, on one set of helpers.
"""

import json
from dataclasses import replace
from time import perf_counter

import pytest

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import Lease, LeasedTrial
from neurosearch.search.outcome import read_result
from neurosearch.search.seams import SilentListener, SilentTracker
from neurosearch.search.study import create_study, resume_study
from neurosearch.search.together import PackRun
from neurosearch.search.trial import TrialUpdate, trial_updates
from neurosearch.training import compiled_step
from neurosearch.training.checkpoint import FolderCheckpointStore

GROWTH = {
    "search": "one_of",
    "options": [
        {"kind": "static"},
        {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.25, "high": 1.0}},
        {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1},
    ],
}
WIDTHS = {"search": "choice", "options": [[4], [8], [20]]}
PLAIN = {
    "size_limit": None,
    "growth": GROWTH,
    "model.widths": WIDTHS,
    "model.dropout": 0.1,
    "training.batch_size": 256,
    "search.sampler": "random",
    "search.trials": 6,
    "search.finalists": 0,
    "search.control": False,
    "search.concurrency": 1,
    "training.importance_examples": 4,
}
KILLED_AFTER = 4  # rounds: one or two of four have been stopped at a rung, and the others train


class FirstHeard(SilentListener):
    """Notes how many epochs the first word of each trial tells of: all that a checkpoint holds, where it goes on."""

    def __init__(self):
        self.first = {}

    def on_records(self, number, records):
        self.first.setdefault(number, len(records))


@pytest.fixture
def packed(make_config):
    """Makes a small study whose trials are packed."""

    def make(packing, **changes):
        return make_config(**{**PLAIN, "search.packing": packing, **changes})

    return make


@pytest.fixture
def make_desk(folder):
    def make(config, *, resume=False):
        study = resume_study(folder, config) if resume else create_study(folder, config)
        return Desk(study, SilentTracker(), SilentListener(), lambda _trial: {}, lambda: ()), study

    return make


def run(desk, folder, rounds=10_000, leases=None, killed=None):
    """Runs what a desk hands out in this process as a worker would; a runner without Ray.

    With `killed`, a list, a pack that is left early is put there as it is: nothing of it is closed.
    """
    while rounds > 0 and (lease := desk.next_lease()) is not None:
        lease = Lease.from_dict(json.loads(json.dumps(lease.to_dict())))  # what Ray would carry
        if leases is not None:
            leases.append([leased.number for leased in lease.trials])
        if len(lease.trials) == 1:
            for update in trial_updates(lease.trials[0], folder, "cpu"):
                rounds -= 1
                if desk.take(update) or rounds <= 0:
                    break
            continue
        pack = PackRun(lease.trials, folder, "cpu", is_measured=lease.is_measured)
        if killed is not None:
            killed.append(pack)
        for news in pack.rounds():
            rounds -= 1
            stopped = [update.number for update in news if desk.take(update)]
            gone = {*stopped, *(update.number for update in news if update.outcome or update.shortage)}
            left = tuple(leased for leased in lease.trials if leased.number not in gone)
            if not left or rounds <= 0:
                break
            joining = desk.joining(Lease(lease.study, left, lease.room, None)) if gone else ()
            lease = Lease(lease.study, (*left, *joining), lease.room, None)
            pack.hear(stopped, joining)


def told(folder, number):
    """What a trial's result says, but what a clock has measured."""
    result = read_result(folder.result(number))
    records = [
        {**record, "metrics": {k: v for k, v in record["metrics"].items() if "second" not in k}}
        for record in result.records
    ]
    return result.outcome.state, result.outcome.epochs, result.config, records


def checkpoint(folder, number):
    return FolderCheckpointStore(folder.training(number, 0)).load_newest()


def test_packed_trials_are_told_as_those_that_run_alone(folder, packed, make_desk, tmp_path):
    desk, study = make_desk(packed(4))
    leases = []
    run(desk, folder, leases=leases)
    assert leases == [[0, 1, 2, 3], [4, 5]]
    for number in range(6):
        info = study.stored.trial_info(number)
        alone = type(folder)(tmp_path / f"alone-{number}", "moons")
        leased = LeasedTrial(0, "search", dict(info.config), info.seeds, ())
        *_, last = trial_updates(leased, alone, "cpu")
        state, epochs, config, records = told(folder, number)
        assert (state, epochs, config) == ("finished", 4, info.config)
        expected = told(alone, 0)[3]
        assert [record["epoch"] for record in records] == [1, 2, 3, 4]
        for record, other in zip(records, expected, strict=True):
            assert record["events"] == other["events"]
            assert record["metrics"]["validation_loss"] == pytest.approx(other["metrics"]["validation_loss"], rel=1e-4)
        assert study.stored.trial(number).metrics["parameters"] == last.outcome.metrics["parameters"]


@pytest.mark.parametrize("rounds", [2, 5])
def test_a_killed_pack_goes_on_bit_for_bit_in_another_one(folder, packed, make_desk, tmp_path, rounds):
    whole = type(folder)(tmp_path / "whole", "moons")
    study = create_study(whole, packed(4))
    run(Desk(study, SilentTracker(), SilentListener(), lambda _trial: {}, lambda: ()), whole)
    desk, study = make_desk(packed(4))
    run(desk, folder, rounds=rounds)
    study.close()
    desk, _ = make_desk(packed(2), resume=True)
    run(desk, folder)
    for number in range(6):
        assert told(folder, number) == told(whole, number)


def test_members_are_stopped_at_rungs_and_others_come_in_their_places(folder, packed, make_desk):
    changes = {"search.stopping": {"kind": "halving", "reduction": 2}, "search.trials": 12, "training.epochs": 8}
    config = packed(4, **changes)
    desk, study = make_desk(config)
    study.set_reference_cost(2e7)
    leases = []
    run(desk, folder, leases=leases)
    states = [study.stored.trial(number).state for number in range(12)]
    assert states.count("stopped") >= 2
    assert states.count("finished") >= 2
    assert len(leases) < 3
    for number, state in enumerate(states):
        assert len(told(folder, number)[3]) == study.stored.trial(number).epochs
        assert state == "finished" or study.stored.trial(number).reason.startswith("stopped at rung")


def test_a_trial_that_diverges_fails_alone(folder, packed, make_desk):
    rates = {"search": "choice", "options": [0.01, 1e30]}
    desk, study = make_desk(packed(4, **{"training.learning_rate": rates, "training.optimizer": "sgd"}))
    run(desk, folder)
    ended = [study.stored.trial(number) for number in range(6)]
    assert {trial.params["training.learning_rate"]: trial.state for trial in ended} == {
        0.01: "finished",
        1e30: "failed",
    }
    assert all("loss became" in trial.reason for trial in ended if trial.state == "failed")


def test_trials_are_trained_on_all_their_seeds(folder, packed, make_desk):
    desk, study = make_desk(packed(4, **{"search.seeds": 2, "search.trials": 3, "training.epochs": 2}))
    run(desk, folder)
    for number in range(3):
        trial = study.stored.trial(number)
        assert trial.state == "finished"
        assert trial.epochs == 4
        assert len(trial.per_seed) == 2


def test_auto_measures_once_and_keeps_what_it_found(folder, packed, make_desk):
    desk, study = make_desk(packed("auto", **{"search.trials": 8}))
    leases = []
    run(desk, folder, leases=leases)
    (key,) = [name for name in study.stored.attributes() if name.startswith("packing/")]
    choice = study.stored.attributes()[key]
    assert choice["size"] == 8
    assert min(choice["packed_seconds"], choice["alone_seconds"]) > 0
    assert choice["together"] == (choice["packed_seconds"] < choice["alone_seconds"])
    assert leases[0] == list(range(8))
    assert all(study.stored.trial(number).state == "finished" for number in range(8))


@pytest.fixture
def traced(monkeypatch):
    """Runs traced steps as they are: exact, and without a C++ compiler; a list of them."""
    found = []

    def as_it_is(graph):
        found.append(graph)
        return graph

    monkeypatch.setattr(compiled_step, "_fused", as_it_is)
    monkeypatch.setattr(compiled_step, "_COMPILED", {})
    monkeypatch.setattr("neurosearch.build.trial.missing_compiler", lambda: None)
    return found


def test_trials_whose_step_is_compiled_end_as_those_whose_is_not(tmp_path, packed, make_desk, traced):
    plain, compiled = (
        packed(4, **{"training.compile": compiles, "model.dropout": 0.0, "search.trials": 5, "training.epochs": 2})
        for compiles in (False, True)
    )
    scores = []
    for number, config in enumerate((plain, compiled)):
        folder = StudyFolder(tmp_path / str(number), "packed")
        study = create_study(folder, config)
        run(Desk(study, SilentTracker(), SilentListener(), lambda _trial: {}, lambda: ()), folder)
        scores.append([study.stored.trial(trial).per_seed[0]["task_loss"] for trial in range(5)])
    assert traced
    assert scores[1] == pytest.approx(scores[0], abs=1e-5)


def test_auto_counts_the_seconds_of_compiling(folder, packed, make_desk, traced):
    growth = {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.25, "high": 1.0}}
    desk, study = make_desk(
        packed("auto", **{"training.compile": True, "model.dropout": 0.0, "growth": growth, "search.trials": 4})
    )
    run(desk, folder)
    (choice,) = [value for name, value in study.stored.attributes().items() if name.startswith("packing/")]
    assert choice["compile_seconds"] > 0
    assert traced


def test_who_diverges_while_it_is_measured_is_left_out_and_fails_alone(folder, packed, make_desk):
    rates = {"search": "choice", "options": [0.01, 1e30]}
    nimble = {"kind": "nimble", "check_steps": 1}  # asked after every step, it finds out at once
    sgd = {"training.learning_rate": rates, "training.optimizer": "sgd", "growth": nimble}
    desk, study = make_desk(packed("auto", **sgd))
    leases = []
    run(desk, folder, leases=leases)
    ended = [study.stored.trial(number) for number in range(6)]
    states = {trial.params["training.learning_rate"]: trial.state for trial in ended}
    assert states == {0.01: "finished", 1e30: "failed"}
    (choice,) = [value for name, value in study.stored.attributes().items() if name.startswith("packing/")]
    assert choice["size"] == sum(trial.state == "finished" for trial in ended) < 6
    assert leases[0] == list(range(6))


def test_where_nobody_can_be_measured_the_next_pack_is(folder, packed, make_desk):
    diverging = {"training.learning_rate": 1e30, "training.optimizer": "sgd"}
    nimble = {"kind": "nimble", "check_steps": 1, "learning_rate": {"search": "uniform", "low": 0.01, "high": 0.1}}
    desk, study = make_desk(packed("auto", **diverging, growth=nimble))
    first = desk.next_lease()
    (news, *_) = PackRun(first.trials, folder, "cpu", is_measured=first.is_measured).rounds()
    assert [update.choice for update in news] == [{}]
    desk.take(news[0])
    desk.lose_pack([leased.number for leased in first.trials], "its worker died")
    assert not [name for name in study.stored.attributes() if name.startswith("packing/")]
    study.close()


def test_a_trial_of_a_pack_is_charged_its_share_of_what_all_do_together(folder, packed, make_desk):
    started = perf_counter()
    desk, study = make_desk(packed(4, **{"search.trials": 4, "training.epochs": 20}))
    run(desk, folder)
    seconds = [study.stored.trial(number).seconds for number in range(4)]
    assert sum(seconds) < perf_counter() - started
    for number in range(4):
        epochs = sum(record["metrics"]["epoch_seconds"] for record in read_result(folder.result(number)).records)
        assert seconds[number] > epochs / 2  # the share of the steps is most of it


def test_one_that_is_stopped_before_its_first_epoch_is_trained_no_more(folder, packed, make_desk):
    desk, study = make_desk(packed(4))
    run(desk, folder, rounds=2)
    study.close()
    desk, study = make_desk(packed(4), resume=True)
    lease = desk.next_lease()
    pack = PackRun(lease.trials, folder, "cpu", is_measured=False)
    rounds = pack.rounds()
    news = next(rounds)  # of all what was known
    stopped, goes_on = news[0].number, news[1].number
    before = {number: checkpoint(folder, number)["step"] for number in (stopped, goes_on)}
    pack.hear([stopped], ())
    next(rounds)
    assert checkpoint(folder, stopped)["step"] == before[stopped]
    assert checkpoint(folder, goes_on)["step"] > before[goes_on]
    study.close()


def test_where_packing_loses_all_but_one_trial_are_given_back(folder, packed, make_desk, monkeypatch):
    def slower(trials, _study, _device):
        return {"together": False, "packed_seconds": 2.0, "alone_seconds": 1.0, "size": len(trials)}

    monkeypatch.setattr("neurosearch.search.pack_choice.measured_choice", slower)
    desk, study = make_desk(packed("auto"))
    leases = []
    run(desk, folder, leases=leases)
    assert leases == [[0, 1, 2, 3, 4, 5], [1], [2], [3], [4], [5]]
    assert all(study.stored.trial(number).state == "finished" for number in range(6))


def test_trials_of_another_signature_wait_for_a_pack_of_their_own(folder, packed, make_desk):
    desk, study = make_desk(packed("auto", **{"model.widths": {"search": "choice", "options": [[4], [4, 4]]}}))
    lease = desk.next_lease()
    depths = {leased.number: len(leased.config["model"]["widths"]) for leased in lease.trials}
    assert len(set(depths.values())) == 1
    other = desk.next_lease()
    assert {len(leased.config["model"]["widths"]) for leased in other.trials} != set(depths.values())
    assert not {leased.number for leased in other.trials} & depths.keys()
    study.close()


def test_the_members_of_a_lost_pack_are_run_again_alone(folder, packed, make_desk):
    desk, study = make_desk(packed(4, **{"search.trials": 4}))
    lease = desk.next_lease()
    desk.lose_pack([leased.number for leased in lease.trials], "its worker died")
    leases = []
    run(desk, folder, leases=leases)
    assert leases == [[0], [1], [2], [3]]
    assert all(study.stored.trial(number).state == "finished" for number in range(4))


def test_a_stop_leaves_every_member_at_a_checkpoint(folder, packed, make_desk):
    desk, study = make_desk(packed(4))
    desk.stop()
    lease_of_nothing = desk.next_lease()
    assert lease_of_nothing is None
    study.close()
    desk, study = make_desk(packed(4), resume=True)
    lease = desk.next_lease()
    pack = PackRun(lease.trials, folder, "cpu", is_measured=False)
    news = next(pack.rounds())
    desk.stop()
    assert all(desk.take(update) for update in news)
    pack.hear([update.number for update in news], ())
    assert all(checkpoint(folder, leased.number)["step"] > 0 for leased in lease.trials)
    study.close()


@pytest.mark.servers
@pytest.mark.parametrize("who", ["worker", "driver"])
def test_a_pack_that_keeps_its_files_in_a_bucket_goes_on_on_another_node(
    far_folder, folder, packed, make_desk, tmp_path, who
):
    changes = {"search.trials": 4, "training.epochs": 8, "search.stopping": {"kind": "halving", "reduction": 2}}
    config = packed(4, **changes)
    desk, near = make_desk(config)  # the same in a folder that all see, left alone
    near.set_reference_cost(2e7)
    run(desk, folder)
    near.close()

    driver = replace(far_folder("driver"), root=tmp_path / "far")
    study = create_study(driver, config)
    study.set_reference_cost(2e7)

    def node(name):
        place = study.stored.folder.artifacts
        s3 = place.s3.model_copy(update={"cache_folder": str(tmp_path / name)})
        return replace(study.stored.folder, artifacts=replace(place, s3=s3))

    heard = FirstHeard()
    desk = Desk(study, SilentTracker(), heard, lambda _trial: {}, lambda: ())
    killed = []
    run(desk, node("one"), rounds=KILLED_AFTER, killed=killed)
    states = {number: study.stored.trial(number).state for number in range(4)}
    assert set(states.values()) == {"stopped", "running"}
    left = [number for number, state in states.items() if state == "running"]
    for number, state in states.items():
        there = [path.name for path in artifacts_of(node("two")).kept(node("two").trial(number))]
        epochs = [int(name.removeprefix("checkpoint-").removesuffix(".pt")) for name in there if "checkpoint" in name]
        assert there == ["result.json"] if state == "stopped" else max(epochs) >= study.stored.trial(number).epochs - 1
    if who == "worker":
        desk.lose_pack(left, "its node is gone")
    else:
        study.close()
        study = resume_study(driver, config)
        desk = Desk(study, SilentTracker(), heard, lambda _trial: {}, lambda: ())
    begun = {number: study.stored.trial(number).epochs for number in left}
    heard.first.clear()
    leases = []
    run(desk, node("two"), leases=leases)
    for number in left:
        assert heard.first[number] >= begun[number] - 1 >= 2, "it goes on from its checkpoint"
    assert leases == ([[number] for number in left] if who == "worker" else [left])
    for number in range(4):
        assert artifacts_of(node("two")).fetch(node("two").result(number))
        found, expected = told(node("two"), number), told(folder, number)
        if who == "driver":
            assert found == expected
        else:  # alone, sums are rounded otherwise
            assert found[:3] == expected[:3]
            losses, others = ([each["metrics"]["validation_loss"] for each in one[3]] for one in (found, expected))
            assert losses == pytest.approx(others, rel=1e-4)
    kept = [path.name for path in artifacts_of(node("two")).kept(node("two").trials)]
    assert not [name for name in kept if name.startswith("checkpoint")]
    (pack,) = killed
    pack.hear(range(4), ())  # what a killed process never does, but this one must
    study.close()


def test_an_update_of_a_pack_survives_the_way_to_the_driver():
    update = TrialUpdate(3, choice={"together": False}, returned=True)
    assert TrialUpdate.from_dict(json.loads(json.dumps(update.to_dict()))) == update
