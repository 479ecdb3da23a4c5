"""A deterministic study ends the same, however often it was interrupted and whichever trial was faster."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.search.desk import Desk
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import Lease
from neurosearch.search.seams import SilentListener, SilentTracker
from neurosearch.search.study import create_study, resume_study
from neurosearch.search.trial import trial_updates

SEARCH = {
    "search.deterministic": True,
    "search.trials": 11,
    "search.concurrency": 3,
    "search.stopping": {"kind": "halving", "reduction": 2, "first_share": 0.05},
    "training.epochs": 6,
    "size_limit": {"parameters": 60},
}


def searched(folder, config, opened, kills=(), seed=0):
    """Runs a whole study without Ray: trials advance in a random order, and the search dies after each of `kills`."""
    study, order = create_study(folder, config), random.Random(seed)
    study.set_reference_cost(600.0)
    for num_updates in (*kills, 10**6):
        desk = Desk(study, SilentTracker(), SilentListener(), lambda trial: {}, lambda: ())
        running, updates = {}, num_updates
        while updates > 0 and not desk.finished:
            while len(running) < 3 and (lease := desk.next_lease()) is not None:
                (leased,) = Lease.from_dict(lease.to_dict()).trials
                running[leased.number] = trial_updates(leased, folder, "cpu", opened)
            if running:
                number = order.choice(sorted(running))
                update = next(running[number], None)
                updates -= 1
                if update is None or desk.take(update):
                    del running[number]
        study.close()
        study = resume_study(folder)
    found = [
        (trial.number, trial.state, trial.values, trial.epochs, trial.reason, dict(trial.params))
        for trial in study.stored.trials()
    ]
    study.close()
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_does_not_depend_on_which_trial_is_faster(folder, make_config, fake_training, sampler):
    found = []
    for seed in range(4):
        config = make_config(name=f"study{seed}", **SEARCH, **{"search.sampler": sampler})
        found.append(searched(StudyFolder(folder.root, f"study{seed}"), config, fake_training, seed=seed))
    assert {state for _, state, *_ in found[0]} >= {"finished", "stopped"}
    assert all(other == found[0] for other in found)


@settings(max_examples=15)
@given(kills=st.lists(st.integers(0, 25), max_size=6), seed=st.integers(0, 1000))
def test_a_study_that_was_killed_ends_like_one_left_alone(
    tmp_path_factory, make_config, fake_training, undisturbed, kills, seed
):
    folder = StudyFolder(tmp_path_factory.mktemp("runs"), "moons")
    assert searched(folder, make_config(**SEARCH), fake_training, kills, seed) == undisturbed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, make_config, fake_training):
    return searched(StudyFolder(tmp_path_factory.mktemp("runs"), "moons"), make_config(**SEARCH), fake_training)


VALUES = (0.5, 0.4, 0.3, 0.6, 0.55, 0.5, 0.5, 0.5, 0.7, *(0.1,) * 11)


def ended_by_a_budget(folder, config, make_outcome, backwards, killed_after):
    """Runs a study whose generations end forwards or backwards, and whose process dies once, after so many ends."""
    study, ends = create_study(folder, config), 0
    while trials := list(iter(study.ask, None)):
        for trial in reversed(trials) if backwards else trials:
            study.tell(trial.number, make_outcome(VALUES[trial.number]))
            ends += 1
            if ends == killed_after:
                study.close()
                study = resume_study(folder)
                break
    found = [trial.number for trial in study.stored.trials()], study.budget_used
    study.close()
    return found


@pytest.mark.parametrize(
    ("budget", "num_trials"), [({"patience_trials": 2}, 6), ({"patience_trials": 3}, 8), ({"target": 0.6}, 4)]
)
def test_a_budget_does_not_depend_on_which_trial_of_a_generation_is_faster(
    tmp_path, make_config, make_outcome, budget, num_trials
):
    fields = {"trials": 20, "concurrency": 2, "sampler": "random", "deterministic": True, **budget}
    config = make_config(search=fields)
    runs = [(backwards, killed_after) for backwards in (False, True) for killed_after in range(num_trials + 1)]
    found = [
        ended_by_a_budget(StudyFolder(tmp_path / f"{index}", "moons"), config, make_outcome, *run)
        for index, run in enumerate(runs)
    ]
    assert found[0][0] == list(range(num_trials))
    assert all(each == found[0] for each in found)


def test_a_generation_is_whole_although_its_first_trial_reaches_the_target(folder, make_config, make_outcome):
    study = create_study(folder, make_config(**SEARCH, **{"search.target": 0.5}))
    study.tell(study.ask().number, make_outcome(0.5))  # the others' workers are not up yet
    for trial in [study.ask(), study.ask()]:
        study.tell(trial.number, make_outcome(0.1))
    assert study.ask() is None
    assert study.budget_used == "search.target of 0.5 is reached"
    study.close()


def test_a_generation_is_asked_for_when_the_one_before_has_ended(folder, make_config, make_outcome):
    study = create_study(folder, make_config(**SEARCH))
    first = [study.ask() for _ in range(3)]
    assert study.ask() is None
    for trial in first[:2]:
        study.tell(trial.number, make_outcome())
    assert study.ask() is None
    study.tell(first[2].number, make_outcome())
    assert study.ask().number == 3
    study.close()


def test_without_generations_the_next_trial_is_asked_for_at_any_time(folder, make_config):
    study = create_study(folder, make_config(**{"search.trials": 7}))
    assert [study.ask().number for _ in range(7)] == list(range(7))
    study.close()
