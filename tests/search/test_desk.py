import pytest
import torch

from neurosearch.config.trial import TrialConfig
from neurosearch.search.desk import Desk
from neurosearch.search.outcome import read_result
from neurosearch.search.room import Room
from neurosearch.search.seams import SilentListener
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study, resume_study
from neurosearch.search.summaries import ranked
from neurosearch.search.trial import TrialUpdate
from neurosearch.tracking.memory_tracker import MemoryStore, MemoryTracker


class Listener:
    def __init__(self):
        self.started, self.finished, self.epochs, self.best, self.stopping = [], [], {}, None, 0

    def on_trial_started(self, trial):
        self.started.append(trial.number)

    def on_records(self, number, records):
        self.epochs.setdefault(number, []).extend(record["epoch"] for record in records)

    def on_trial_finished(self, trial, best):
        self.finished.append(trial.number)
        self.best = best

    def on_stopping(self):
        self.stopping += 1


class Search:
    """A study, its tracker and listener, and desks one after the other."""

    def __init__(self, folder, config):
        self.folder, self.config = folder, config
        self.store, self.listener = MemoryStore(), Listener()
        self.study = create_study(folder, config)
        self.desk = self.new_desk()

    def new_desk(self, describe=lambda trial: {}, follow_up=lambda: ()):
        gpus = self.config.study.search.gpus_per_trial
        self.tracker = MemoryTracker(self.store)
        self.tracker.start_study(self.study.stored.info)
        self.desk = Desk(self.study, self.tracker, self.listener, describe, follow_up, lambda trial: Room(gpus))
        return self.desk

    def end(self):
        self.tracker.close(1.0)
        self.study.close()

    def resume(self):
        self.end()
        self.study = resume_study(self.folder)
        return self.new_desk()


@pytest.fixture
def search(folder, make_config):
    search = Search(folder, make_config())
    yield search
    search.end()


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_all_trials_of_the_budget_run_and_are_told_everywhere(search, run_desk, concurrency):
    run_desk(search.desk, concurrency)
    trials = search.study.stored.trials()
    assert len(trials) == 5
    assert all(trial.state == "finished" for trial in trials)
    assert sorted(search.listener.finished) == [0, 1, 2, 3, 4]
    assert search.listener.best == search.study.stored.best()
    runs = {run.number: run for run in search.store.runs.values() if run.number is not None}
    assert all(list(runs[number].epochs) == [1, 2, 3, 4] for number in range(5))
    assert all(runs[number].status == "FINISHED" for number in range(5))
    assert all(trial.run_id in search.store.runs for trial in trials)


def test_a_trial_s_result_does_not_depend_on_how_many_run_beside_it(folder, make_config, run_desk):
    config = make_config(**{"search.sampler": "random"})
    found = []
    for name, concurrency in (("one", 1), ("three", 3)):
        search = Search(type(folder)(folder.root, name), config)
        run_desk(search.desk, concurrency)
        found.append([(trial.config, trial.value) for trial in search.study.stored.trials()])
        search.end()
    assert found[0] == found[1]


@pytest.mark.parametrize("updates", [1, 3, 5, 7, 11])
def test_a_stopped_search_goes_on_without_repeating_an_epoch(search, run_desk, updates):
    run_desk(search.desk, 2, updates=updates)
    before = {number: list(epochs) for number, epochs in search.listener.epochs.items()}
    desk = search.resume()
    search.listener.epochs.clear()
    run_desk(desk, 2)
    assert [trial.state for trial in search.study.stored.trials()] == ["finished"] * 5
    runs = [run for run in search.store.runs.values() if run.number is not None]
    assert len(runs) == 5
    assert all(run.status == "FINISHED" and list(run.epochs) == [1, 2, 3, 4] for run in runs)
    for number, epochs in search.listener.epochs.items():
        assert epochs == [1, 2, 3, 4], before.get(number)


@pytest.mark.parametrize("judged", ["objectives", "constraints"])
def test_a_trial_without_the_group_that_it_is_judged_by_fails_at_its_first_epoch(folder, make_config, run_desk, judged):
    by = {"objectives": [{"metric": "many_recall", "direction": "maximize"}]}
    if judged == "constraints":
        by = {"constraints": [{"metric": "many_recall", "at_least": 0.5}]}
    search = Search(folder, make_config(**{f"search.{name}": value for name, value in by.items()}))
    run_desk(search.desk, 2)
    trials = search.study.stored.trials()
    assert [(trial.state, trial.epochs) for trial in trials] == [("failed", 1)] * 5
    assert all(trial.reason.startswith("the network has no many_recall; no class falls into") for trial in trials)
    assert {run.status for run in search.store.runs.values() if run.number is not None} == {"FAILED"}
    search.end()


def test_a_stop_lets_running_trials_end_their_epoch_and_starts_no_new_one(search, run_desk):
    run_desk(search.desk, 2, updates=2)
    search.desk.stop()
    run_desk(search.desk, 2)
    assert search.desk.finished
    assert (search.listener.started, search.listener.stopping) == ([0, 1], 1)
    assert [trial.state for trial in search.study.stored.trials()] == ["running", "running"]
    search.end()
    assert {run.status for run in search.store.runs.values()} == {"KILLED"}


def test_a_stop_requested_by_another_process_is_seen(search, monkeypatch):
    monkeypatch.setattr("neurosearch.search.desk._POLL_SECONDS", 0.0)
    assert search.desk.next_lease() is not None
    StoredStudy(search.folder).request_stop()
    assert search.desk.next_lease() is None
    assert search.desk.finished


def test_a_trial_whose_worker_was_lost_goes_on_with_another(search, run_desk, make_record):
    for epoch in range(1, 4):  # as long as it comes further each time, it may lose any number
        assert search.desk.next_lease().trials[0].number == 0
        search.desk.take(TrialUpdate(0, (make_record(epoch),)))
        search.desk.lose(0, "its worker process died")
    run_desk(search.desk, 2)
    assert [trial.state for trial in search.study.stored.trials()] == ["finished"] * 5
    assert search.listener.started[:4] == [0, 0, 0, 0]
    runs = [run for run in search.store.runs.values() if run.number is not None]
    assert len(runs) == 5
    assert all(list(run.epochs) == [1, 2, 3, 4] for run in runs)


def test_a_trial_that_kills_its_workers_fails_and_the_search_goes_on(search, run_desk, make_record):
    for _ in range(3):
        lease = search.desk.next_lease()
        search.desk.take(TrialUpdate(0, (make_record(1, epoch_seconds=2.0), make_record(2, epoch_seconds=3.0))))
        search.desk.lose(0, "its worker process died")
    search.desk.take(TrialUpdate(0, (make_record(3),)))  # a late word changes nothing
    run_desk(search.desk, 2)
    lost, *others = search.study.stored.trials()
    assert lease.trials[0].number == 0
    assert (lost.state, lost.reason, lost.epochs, lost.seconds) == ("failed", "its worker process died", 2, 5.0)
    assert all(trial.state == "finished" for trial in others)
    assert [record["epoch"] for record in read_result(search.folder.result(0)).records] == [1, 2]
    assert search.store.runs[lost.run_id].reason == "its worker process died"


def test_workers_that_die_in_a_row_halt_the_study(search):
    while search.desk.halted is None:
        search.desk.lose(search.desk.next_lease().trials[0].number, "no module named torch")
    assert "9 workers in a row" in search.desk.halted
    assert "no module named torch" in search.desk.halted
    assert search.desk.stopping
    assert [trial.state for trial in search.study.stored.trials()] == ["failed", "failed", "running"]


def test_a_full_disk_in_a_worker_halts_the_study(search, make_record):
    search.desk.next_lease()
    search.desk.take(TrialUpdate(0, (make_record(1),), halt="nothing can be written"))
    assert search.desk.halted == "nothing can be written"
    assert search.desk.next_lease() is None
    assert search.desk.finished
    assert search.study.stored.trial(0).state == "running"


def test_a_full_disk_in_the_driver_halts_the_study_and_nothing_is_lost(search, make_record, run_desk, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    search.desk.next_lease()
    with monkeypatch.context() as patch:
        patch.setattr("neurosearch.search.journal.os.fsync", no_space)
        search.desk.take(TrialUpdate(0, (make_record(1),)))
        assert search.desk.next_lease() is None
    assert "No space left" in search.desk.halted
    run_desk(search.resume())
    assert [trial.state for trial in search.study.stored.trials()] == ["finished"] * 5


def test_other_errors_of_the_driver_are_not_swallowed(search, make_record, monkeypatch):
    def broken(descriptor):
        raise OSError(5, "Input/output error")

    search.desk.next_lease()
    with monkeypatch.context() as patch:
        patch.setattr("neurosearch.search.journal.os.fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            search.desk.take(TrialUpdate(0, (make_record(1),)))


def test_a_trial_that_cannot_be_made_ready_fails_and_the_next_one_is_handed_out(search, run_desk):
    def describe(trial):
        if trial.number == 1:
            raise ValueError("data.path: the archive has no x_train")
        return {"data_hash": "abc"}

    search.new_desk(describe)
    run_desk(search.desk, 2)
    states = [trial.state for trial in search.study.stored.trials()]
    assert states == ["finished", "failed", "finished", "finished", "finished"]
    failed = search.study.stored.trial(1)
    assert "x_train" in failed.reason
    run = next(run for run in search.store.runs.values() if run.number == 1)
    assert (run.status, run.reason) == ("FAILED", failed.reason)


def test_the_follow_ups_run_once_after_all_others_have_ended(search, run_desk):
    def confirmation():
        assert all(trial.state == "finished" for trial in search.study.stored.trials())
        config = TrialConfig.model_validate(search.study.stored.best("search").config)
        wider = config.model_copy(update={"model": config.model.model_copy(update={"widths": (9,)})})
        return [
            search.study.ask_for(config, "finalist", (8, 9), {}),
            search.study.ask_for(wider, "control", (8, 9), {}),
        ]

    search.new_desk(follow_up=confirmation)
    run_desk(search.desk, 2)
    *_, finalist, control = search.study.stored.trials()
    assert (finalist.number, finalist.role, finalist.state) == (5, "finalist", "finished")
    assert (control.number, control.role, control.state) == (6, "control", "finished")
    assert len(control.per_seed) == 2
    assert search.desk.finished


def test_what_is_told_as_the_best_is_what_the_study_says(search, run_desk):
    told = []
    search.listener.on_trial_finished = lambda trial, best: told.append(
        (best.number, search.study.stored.best().number)
    )

    def confirmation():
        config = TrialConfig.model_validate(search.study.stored.best("search").config)
        ideal = config.model_copy(update={"training": config.training.model_copy(update={"learning_rate": 0.01})})
        worse = config.model_copy(update={"training": config.training.model_copy(update={"learning_rate": 0.1})})
        return [
            search.study.ask_for(each, role, (8, 9), {})
            for each, role in ((worse, "finalist"), (config, "finalist"), (ideal, "fixed"))
        ]

    search.new_desk(follow_up=confirmation)
    run_desk(search.desk)
    assert [best for best, _ in told] == [best for _, best in told]
    assert told[-1][0] == 6, "an arm is never the best, nor what the search saw alone once there are finalists"


def test_a_silent_listener_listens(search, run_desk):
    desk = Desk(search.study, search.tracker, SilentListener(), lambda trial: {}, lambda: ())
    run_desk(desk)
    assert len(search.study.stored.trials()) == 5


def hungry(fake_training, needy, seen, epochs):
    """Trainings some of which ask for more memory than there is after some epochs."""

    class Hungry(fake_training):
        def epochs(self):
            number = int(self.path.parent.parent.name)
            seen.append((number, len(self.history)))
            for record in super().epochs():
                yield record
                if number in needy and record.epoch in epochs:
                    torch.empty(2**58, dtype=torch.uint8)

    return Hungry


def test_a_trial_that_ran_out_of_memory_goes_on_alone_from_its_checkpoint(search, run_desk, fake_training):
    seen, running, beside = [], set(), []
    take, next_lease = search.desk.take, search.desk.next_lease

    def noted_lease():
        lease = next_lease()
        if lease is not None:
            beside.append((lease.room.alone, len(running)))
            running.add(lease.trials[0].number)
        return lease

    def noted_take(update):
        is_over = take(update)
        if is_over or update.outcome is not None:
            running.discard(update.number)
        return is_over

    search.desk.next_lease, search.desk.take = noted_lease, noted_take
    run_desk(search.desk, 3, hungry(fake_training, {1}, seen, {2}))
    assert all(trial.state == "finished" for trial in search.study.stored.trials())
    assert [epochs for number, epochs in seen if number == 1] == [0, 2]
    assert beside.count((True, 0)) == 1
    assert (True, 1) not in beside
    assert search.listener.epochs[1] == [1, 2, 1, 2, 3, 4]  # after the checkpoint the history is told again


def test_a_trial_that_runs_out_of_memory_alone_too_fails_with_what_it_asked_for(search, run_desk, fake_training):
    run_desk(search.desk, 2, hungry(fake_training, {1}, [], {2, 3}))
    trial = search.study.stored.trial(1)
    assert trial.state == "failed"
    assert "asked for 256 PiB" in trial.reason
    assert trial.reason.endswith("This was its second try, with no other trial beside it.")
    assert read_result(search.folder.result(1)).outcome.reason == trial.reason
    assert sum(trial.state == "finished" for trial in search.study.stored.trials()) == 4


def test_a_resumed_study_does_not_try_again_what_was_tried_again(search):
    search.desk.next_lease()
    search.desk.take(TrialUpdate(0, shortage="memory ran out."))
    assert search.desk.next_lease().room == Room(0.0, alone=True)
    desk = search.resume()
    lease = desk.next_lease()
    assert (lease.trials[0].number, lease.room) == (0, Room(0.0, alone=True))
    assert desk.next_lease() is None  # nothing beside it
    assert desk.take(TrialUpdate(0, shortage="memory ran out."))
    assert search.study.stored.trial(0).reason.startswith("memory ran out. This was its second try")


def test_a_share_of_a_gpu_is_doubled_and_nobody_takes_the_room_before_the_trial_is_heard_of(
    folder, make_config, make_record
):
    search = Search(folder, make_config(**{"search.gpus_per_trial": 0.25}))
    first, second = search.desk.next_lease(), search.desk.next_lease()
    assert first.room == second.room == Room(0.25)
    search.desk.take(TrialUpdate(0, shortage="memory ran out."))
    again = search.desk.next_lease()
    assert (again.trials[0].number, again.room) == (0, Room(0.5))
    assert search.desk.next_lease() is None
    search.desk.take(TrialUpdate(0, (make_record(1),)))
    assert search.desk.next_lease().room == Room(0.25)
    search.end()


def test_a_trial_that_hung_fails_at_once_and_says_where_it_stood(search, make_record):
    number = search.desk.next_lease().trials[0].number
    search.desk.take(TrialUpdate(number, (make_record(1, epoch_seconds=2.0),)))
    stacks = search.folder.stacks(number)
    stacks.parent.mkdir(parents=True)
    stacks.write_text("Timeout (0:30:00)!\n")
    search.desk.lose(number, "its worker process died")
    trial = search.study.stored.trial(number)
    assert trial.state == "failed"
    assert f"Where it stood: {stacks}" in trial.reason
    assert trial.seconds == 1802.0, "the budget counts the silence, too"
    assert search.desk.next_lease().silence_seconds == 1800.0


@pytest.mark.servers
def test_a_trial_that_hung_where_nobody_can_look_fails_at_once_too(far_folder, make_config, make_record):
    search = Search(far_folder(), make_config())
    number, other = (search.desk.next_lease().trials[0].number for _ in range(2))
    for each in (number, other):
        search.desk.take(TrialUpdate(each, (make_record(1),)))
    search.desk._heard[number] -= 1800
    for each in (number, other):
        search.desk.lose(each, "its worker process died")
    assert search.study.stored.trial(other).state == "running"
    trial = search.study.stored.trial(number)
    assert trial.state == "failed"
    assert "in its node's cache, in hang.txt of the trial's folder" in trial.reason
    search.end()


def test_ended_trials_leave_no_checkpoint_and_the_best_their_networks(folder, make_config, run_desk, fake_training):
    class Delivering(fake_training):
        def deliver(self):
            for name in ("checkpoint-000004.pt", "final.pt"):
                (self.path.parent / name).write_text("x")
            return super().deliver()

    search = Search(folder, make_config(**{"search.kept_trials": 2}))
    run_desk(search.desk, 2, Delivering, updates=13)
    desk = search.resume()  # which does what an earlier process may not have come to
    run_desk(desk, 2, Delivering)
    kept = {int(path.parent.parent.name) for path in folder.path.rglob("final.pt")}
    best = ranked(search.study.stored.trials(), search.config.study.search.objectives[0])[:2]
    assert kept == {trial.number for trial in best}
    assert not list(folder.path.rglob("checkpoint-*.pt"))
    assert all(folder.result(number).exists() for number in range(5))
    search.end()
