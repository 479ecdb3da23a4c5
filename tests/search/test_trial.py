import json
from dataclasses import replace

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.outcome import TrialOutcome, read_result
from neurosearch.search.trial import TrialUpdate, merged, trial_updates
from neurosearch.training.records import GrowthEvent, TrialFailed

CONFIG = {
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [4]},
    "training": {"epochs": 4, "learning_rate": 0.01},
    "growth": {"kind": "static"},
    "seed": 0,
}
LEASED = LeasedTrial(2, "search", CONFIG, (0,), ())


def failing(error, base, after=0):
    """A training that raises in the epoch after `after`."""

    class Failing(base):
        def epochs(self):
            for record in super().epochs():
                if record.epoch > after:
                    raise error
                yield record

    return Failing


def test_a_trial_tells_each_epoch_and_then_its_end(folder, fake_training):
    updates = list(trial_updates(LEASED, folder, "cpu", fake_training))
    assert [[record["epoch"] for record in update.records] for update in updates] == [[1], [2], [3], [4], []]
    assert [update.outcome is None for update in updates] == [True] * 4 + [False]
    outcome = updates[-1].outcome
    assert (outcome.state, outcome.epochs, outcome.metrics["parameters"]) == ("finished", 4, 40.0)


def test_the_result_holds_the_whole_history(folder, fake_training):
    updates = list(trial_updates(LEASED, folder, "cpu", fake_training))
    result = read_result(folder.result(2))
    assert (result.number, result.config, result.outcome) == (2, CONFIG, updates[-1].outcome)
    assert [record["epoch"] for record in result.records] == [1, 2, 3, 4]


def test_a_stopped_trial_goes_on_and_tells_its_history_again(folder, fake_training):
    begun = trial_updates(LEASED, folder, "cpu", fake_training)
    first = [next(begun), next(begun)]
    begun.close()
    resumed = list(trial_updates(LEASED, folder, "cpu", fake_training))
    assert [[record["epoch"] for record in update.records] for update in resumed] == [[1, 2], [3], [4], []]
    assert resumed[0].records == (*first[0].records, *first[1].records)
    assert resumed[-1].outcome.seconds > 0.5  # two epochs of 0.25 s before the stop


def test_a_trial_that_had_ended_tells_its_end_again_without_training(folder, fake_training):
    updates = list(trial_updates(LEASED, folder, "cpu", fake_training))

    def never(*args):
        raise AssertionError("trained again")

    (again,) = trial_updates(LEASED, folder, "cpu", never)
    assert [record["epoch"] for record in again.records] == [1, 2, 3, 4]
    assert again.outcome == updates[-1].outcome


def test_a_failed_training_becomes_a_failed_outcome_with_its_reason(folder, fake_training):
    opened = failing(TrialFailed("the loss is not finite"), fake_training, after=2)
    updates = list(trial_updates(LEASED, folder, "cpu", opened))
    outcome = updates[-1].outcome
    assert (outcome.state, outcome.reason, outcome.epochs) == ("failed", "the loss is not finite", 2)
    assert [record["epoch"] for record in read_result(folder.result(2)).records] == [1, 2]


def test_any_other_error_becomes_a_failed_outcome_that_says_where_in_the_code(folder, fake_training):
    opened = failing(ZeroDivisionError("division by zero\nsecond line"), fake_training)
    (update,) = trial_updates(LEASED, folder, "cpu", opened)
    assert update.outcome.state == "failed"
    assert update.outcome.reason.startswith("ZeroDivisionError: division by zero (where in the code: ")
    assert "in epochs" in folder.traceback(2).read_text()


def test_a_config_that_is_no_config_fails_the_trial(folder, fake_training):
    leased = LeasedTrial(3, "search", {**CONFIG, "surplus": 1}, (0,), ())
    (update,) = trial_updates(leased, folder, "cpu", fake_training)
    assert update.outcome.state == "failed"
    assert "surplus" in folder.traceback(3).read_text()


@pytest.mark.parametrize("number", [28, 122, 30], ids=["full", "quota", "read-only"])
def test_a_disk_that_takes_no_more_halts_the_study_and_leaves_the_trial_without_an_end(folder, fake_training, number):
    opened = failing(OSError(number, "No space left on device"), fake_training, after=1)
    updates = list(trial_updates(LEASED, folder, "cpu", opened))
    assert updates[-1].outcome is None
    assert "No space left on device" in updates[-1].halt
    assert "neurosearch resume moons" in updates[-1].halt
    assert read_result(folder.result(2)) is None


def test_a_missing_file_is_the_trial_s_own_trouble(folder, fake_training):
    (update,) = trial_updates(LEASED, folder, "cpu", failing(FileNotFoundError(2, "No such file"), fake_training))
    assert update.outcome.state == "failed"


def test_an_update_survives_the_way_through_json(folder, fake_training):
    for update in trial_updates(LEASED, folder, "cpu", fake_training):
        assert TrialUpdate.from_dict(json.loads(json.dumps(update.to_dict()))) == update


def test_merged_updates_say_the_same_in_one_update_for_each_trial():
    outcome = TrialOutcome.failed("broke")
    updates = [
        TrialUpdate(1, ({"epoch": 1},)),
        TrialUpdate(1, ({"epoch": 2}, {"epoch": 3})),
        TrialUpdate(1, waits=True, outcome=outcome),
        TrialUpdate(2, ({"epoch": 1},), halt="full"),
    ]
    assert merged(updates) == [
        TrialUpdate(1, ({"epoch": 1}, {"epoch": 2}, {"epoch": 3}), waits=True, outcome=outcome),
        TrialUpdate(2, ({"epoch": 1},), halt="full"),
    ]
    assert merged([]) == []


def test_every_seed_is_trained_in_its_own_folder_and_epochs_count_on(folder, fake_training):
    leased = LeasedTrial(2, "search", CONFIG, (0, 5), ())
    updates = list(trial_updates(leased, folder, "cpu", fake_training))
    records = [record for update in updates for record in update.records]
    assert [(record["epoch"], record["seed_index"]) for record in records] == [
        *((epoch, 0) for epoch in range(1, 5)),
        *((epoch, 1) for epoch in range(5, 9)),
    ]
    outcome = updates[-1].outcome
    first, second = outcome.per_seed
    assert outcome.metrics["balanced_accuracy"] == (first["balanced_accuracy"] + second["balanced_accuracy"]) / 2
    assert second["balanced_accuracy"] - first["balanced_accuracy"] == pytest.approx(0.005)
    assert {path.name for path in folder.trial(2).iterdir()} == {"seed-0", "seed-1", "result.json"}


def test_a_trial_waits_between_its_seeds_with_what_the_finished_ones_brought(folder, fake_training):
    updates = list(trial_updates(LeasedTrial(2, "search", CONFIG, (0, 5, 6), ()), folder, "cpu", fake_training))
    assert [len(update.per_seed) for update in updates if update.waits] == [1, 2]


def test_a_trial_of_several_seeds_goes_on_where_it_was(folder, fake_training):
    leased = LeasedTrial(2, "search", CONFIG, (0, 5), ())
    whole = list(trial_updates(leased, StudyFolder(folder.root, "other"), "cpu", fake_training))
    for stop in range(1, 9):
        begun = trial_updates(leased, folder, "cpu", fake_training)
        for _ in range(stop % 4 + 1):
            next(begun, None)
        begun.close()
    (*_, last) = trial_updates(leased, folder, "cpu", fake_training)
    assert replace(last.outcome, seconds=0) == replace(whole[-1].outcome, seconds=0)
    assert [record["epoch"] for record in read_result(folder.result(2)).records] == list(range(1, 9))


def test_a_trial_waits_at_the_epochs_that_reach_a_rung(folder, fake_training):
    levels = (30.0, 60.0, 90.0, 155.0)  # an epoch costs 40
    updates = list(trial_updates(LeasedTrial(2, "search", CONFIG, (0, 5), levels), folder, "cpu", fake_training))
    waits = [
        (update.records[0]["epoch"], len(update.per_seed)) for update in updates if update.waits and update.records
    ]
    assert waits == [(1, 0), (2, 0), (3, 0)]  # not at its last epoch, where nothing is left to stop


def test_a_trial_on_one_seed_that_has_done_two_thirds_of_it_is_let_finish(folder, fake_training):
    levels = (30.0, 60.0, 90.0, 155.0)
    updates = list(trial_updates(LeasedTrial(2, "search", CONFIG, (0,), levels), folder, "cpu", fake_training))
    assert [update.waits for update in updates if update.records] == [True, True, False, False]


def test_a_trial_does_not_wait_with_a_network_that_was_just_pruned(folder, fake_training):
    class Pruned(fake_training):
        def _record(self, epoch):
            lost = GrowthEvent(10, 1, "0", 0, 2, "back to the base size")
            return replace(super()._record(epoch), events=(lost,) if epoch == 1 else ())

    updates = list(trial_updates(LeasedTrial(2, "search", CONFIG, (0, 5), (30.0,)), folder, "cpu", Pruned))
    assert [update.waits for update in updates if update.records][:4] == [False, True, False, False]


def test_a_resumed_trial_asks_again_whether_it_may_go_on(folder, fake_training):
    leased = LeasedTrial(2, "search", CONFIG, (0,), (70.0,))
    begun = trial_updates(leased, folder, "cpu", fake_training)
    assert [next(begun).waits, next(begun).waits] == [False, True]
    begun.close()
    resumed = trial_updates(leased, folder, "cpu", fake_training)
    assert [update.waits for update in resumed] == [True, False, False, False]
