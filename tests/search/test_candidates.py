import os

import pytest

from neurosearch.search.candidates import CandidateKeeper, candidate_file, candidates, front_of, keep_candidate
from neurosearch.search.desk import Desk
from neurosearch.search.early_stopping import Report
from neurosearch.search.reports import StoredReport
from neurosearch.search.seams import SilentListener, SilentTracker, TrialSummary
from neurosearch.search.study import create_study

OBJECTIVES = [
    {"metric": "balanced_accuracy", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
]


def trial(number, values, state="finished", role="search"):
    return TrialSummary(
        number=number,
        role=role,
        kind="nimble",
        state=state,
        values=values,
        per_seed=(),
        seeds=(3,),
        params={},
        config={},
        metrics={},
        epochs=4,
        seconds=1.0,
        reason=None,
        run_id=None,
        started=0.0,
        ended=None if state == "running" else 9.0,
    )


def report(epoch, *values, at_rest=True, violation=0.0, checkpoint="there"):
    return StoredReport(0, checkpoint, (), Report(epoch, 1.0 * epoch, values, violation, at_rest), None)


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(**{"search.objectives": OBJECTIVES, "search.candidates": "at_rest", "training.epochs": 4})


def test_epochs_at_rest_with_a_checkpoint_and_the_final_network_are_offered():
    reports = [
        report(1, 0.5, 90.0),
        report(2, 0.6, 80.0, at_rest=False),
        report(3, 0.7, 70.0, checkpoint=None),
        report(4, 0.8, 60.0),
    ]
    offered = candidates(trial(7, (0.8, 60.0)), reports)
    assert [(each.epoch, each.values) for each in offered] == [(1, (0.5, 90.0)), (None, (0.8, 60.0))]


def test_of_equal_networks_the_last_one_stands_for_all():
    reports = [report(1, 0.5, 90.0), report(2, 0.5, 90.0), report(3, 0.8, 60.0)]
    assert [each.epoch for each in candidates(trial(7, (0.8, 60.0)), reports)] == [2, None]


@pytest.mark.parametrize("state", ["running", "stopped", "failed"])
def test_a_trial_without_a_final_network_offers_nothing(state):
    assert candidates(trial(7, (), state), [report(1, 0.5, 90.0)]) == ()


def test_a_trial_that_ended_beyond_its_limits_may_have_epochs_on_the_front(config):
    reports = [report(1, 0.5, 90.0), report(2, 0.6, 120.0, violation=0.2)]
    offered = candidates(trial(7, (0.7, 150.0), "infeasible"), reports)
    assert [each.epoch for each in front_of(offered, config.study)] == [1]


def test_a_kept_state_outlives_its_checkpoint(tmp_path):
    (tmp_path / "checkpoint-000002.pt").write_text("state")
    keep_candidate(tmp_path, "checkpoint-000002.pt", 2)
    keep_candidate(tmp_path, "checkpoint-000002.pt", 2)
    keep_candidate(tmp_path, "checkpoint-000001.pt", 1)  # lost, as one of before a resume
    (tmp_path / "checkpoint-000002.pt").unlink()
    assert candidate_file(tmp_path, 2).read_text() == "state"
    assert [path.name for path in tmp_path.iterdir()] == ["candidate-000002.pt"]


def test_on_a_disk_without_second_names_it_is_copied(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "checkpoint-000002.pt").write_text("state")
    keep_candidate(tmp_path, "checkpoint-000002.pt", 2)
    assert candidate_file(tmp_path, 2).read_text() == "state"


def test_states_stay_as_long_as_they_are_on_the_front(folder, config):
    keeper = CandidateKeeper(folder, config.study)

    def end(number, final, *epochs):
        place = folder.training(number, 0)
        place.mkdir(parents=True)
        for epoch, *_ in epochs:
            candidate_file(place, epoch).write_text("state")
        keeper.ended(trial(number, final), [report(epoch, *values) for epoch, *values in epochs])
        return sorted(path.parts[-3] + "/" + path.name for path in folder.trials.rglob("candidate-*"))

    assert end(0, (0.8, 60.0), (1, 0.5, 30.0), (2, 0.4, 50.0)) == ["00000/candidate-000001.pt"]
    assert end(1, (0.9, 70.0), (3, 0.6, 20.0)) == ["00001/candidate-000003.pt"]


def test_a_search_keeps_the_states_of_its_front_and_nothing_else(folder, config, run_desk):
    study = create_study(folder, config)
    run_desk(Desk(study, SilentTracker(), SilentListener(), lambda trial: {}, lambda: ()), concurrency=2)
    front = study.stored.reached().front
    kept = {(int(path.parts[-3]), path.name) for path in folder.trials.rglob("candidate-*")}
    assert kept == {(each.trial, candidate_file(folder.path, each.epoch).name) for each in front if each.epoch}
    study.close()
