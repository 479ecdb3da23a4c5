"""A study goes on after its end, a stop or a kill: nothing is lost, doubled or suggested anew."""

import json
import multiprocessing
import os
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.stored import SECONDS, StoredStudy
from neurosearch.search.study import create_study, resume_study


def test_a_resumed_study_hands_out_its_orphans_first_as_they_were(study, make_config, make_outcome, make_record):
    orphan, ended, second_orphan = (study.ask() for _ in range(3))
    study.tell(ended.number, make_outcome())
    study.report(orphan.number, [make_record(1)])
    study.set_run_ids({0: "run-0"}, "run")
    study.close()

    again = resume_study(study.stored.folder, make_config(**{"search.trials": 4}))
    assert again.stored.info.run_id == "run"
    adopted = again.ask()
    assert (adopted.number, adopted.config, adopted.params) == (orphan.number, orphan.config, orphan.params)
    assert adopted.run_id == "run-0"
    assert again.ask() == second_orphan
    assert again.ask().number == 3
    assert again.ask() is None
    again.close()


def test_an_orphaned_control_is_handed_out_again_and_does_not_count_against_the_budget(study, make_outcome):
    config = TrialConfig.model_validate(study.ask().config)
    study.tell(0, make_outcome())
    wider = config.model_copy(update={"model": config.model.model_copy(update={"widths": (9, 9)})})
    control = study.ask_for(wider, "control", study.stored.search_seeds, {})
    study.close()
    again = resume_study(study.stored.folder)
    assert again.ask() == control
    assert [again.ask().role for _ in range(4)] == ["search"] * 4
    assert again.ask() is None
    again.close()


def test_a_resumed_study_suggests_what_the_uninterrupted_one_would_have(folder, make_config, make_outcome):
    def run(name, stops):
        config = make_config(name=name, **{"search.trials": 16})
        here = StudyFolder(folder.root, name)
        study = create_study(here, config)
        configs = []
        for index in range(16):
            if index in stops:
                study.close()
                study = resume_study(here)
            trial = study.ask()
            configs.append(trial.config)
            rate = trial.config["training"]["learning_rate"]
            outcome = make_outcome(rate, 200 if trial.params["model.widths"] == [8] else 50)
            study.tell(trial.number, outcome if index % 5 else TrialOutcome.failed("broke"))
        study.close()
        return configs

    assert run("whole", ()) == run("stopped", (1, 7, 12, 13))


def test_used_time_survives_a_resumption_and_ends_the_budget(folder, make_config, make_outcome):
    study = create_study(folder, make_config(**{"search.time_budget_seconds": 1000.0}))
    study.tell(study.ask().number, make_outcome())
    time.sleep(0.01)
    study.close()
    assert StoredStudy(folder).seconds_used >= 0.01
    for earlier, may_ask in ((500.0, True), (999.99, False)):
        study.stored.storage.set_study_user_attr(study.stored.study_id, SECONDS, earlier)
        again = resume_study(folder)
        time.sleep(0.01)
        trial = again.ask()
        assert (trial is not None) == may_ask
        if trial is not None:
            again.tell(trial.number, make_outcome())
        again.close()


def test_run_ids_are_kept_also_for_trials_that_have_ended(study, make_outcome):
    study.tell(study.ask().number, make_outcome())
    study.set_run_ids({0: "late"})
    assert study.stored.trial(0).run_id == "late"


def _search_for_ever(folder, config, started):
    study = create_study(folder, config) if not folder.journal.exists() else resume_study(folder)
    started.set()
    while True:
        trial = study.ask()
        epochs = [
            {
                "epoch": epoch,
                "step": epoch,
                "metrics": {"balanced_accuracy": 0.5},
                "events": [],
                "at_rest": True,
                "seed_index": 0,
                "checkpoint": None,
            }
            for epoch in range(1, 4)
        ]
        study.report(trial.number, epochs)
        metrics = {"balanced_accuracy": 0.5, "parameters": 5.0}
        study.tell(trial.number, TrialOutcome("finished", None, metrics, 3, 0.0, ()))


def test_after_kills_every_trial_is_whole_and_none_is_lost(folder, make_config):
    config = make_config(**{"search.trials": 1_000_000})
    context = multiprocessing.get_context("fork")
    known = {}
    for attempt in range(8):
        started = context.Event()
        process = context.Process(target=_search_for_ever, args=(folder, config, started))
        process.start()
        assert started.wait(20)
        time.sleep(0.05 + 0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        trials = StoredStudy(folder).trials()
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert sum(trial.state == "running" for trial in trials) <= 1  # it had one at a time
        for trial in trials:
            TrialConfig.model_validate(trial.config)
            if trial.state == "finished":
                known.setdefault(trial.number, trial)
        assert all(trials[number] == trial for number, trial in known.items())
    configs = [json.dumps(trial.config, sort_keys=True) for trial in trials]
    assert len(set(configs)) == len(configs)
    assert len(known) > 8


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "report", "tell", "fail", "resume"]), st.integers(0, 5), st.floats(0, 1)),
        max_size=30,
    )
)
def test_any_order_of_events_keeps_first_ends_and_the_budget(
    tmp_path_factory, make_config, make_outcome, make_record, events
):
    folder = StudyFolder(tmp_path_factory.mktemp("runs"), "moons")
    study = create_study(folder, make_config())
    ends, handed_out = {}, set()
    for event, which, value in events:
        if event == "resume":
            study.close()
            study, handed_out = resume_study(folder), set()
        elif event == "ask":
            trial = study.ask()
            if trial is not None:
                assert trial.number not in handed_out
                assert trial.number not in ends
                handed_out.add(trial.number)
        elif which < len(study.stored.trials()):
            outcome = make_outcome(value) if event == "tell" else TrialOutcome.failed("broke")
            if event == "report":
                study.report(which, [make_record(1, value)])
            else:
                study.tell(which, outcome)
                ends.setdefault(which, outcome)
    trials = study.stored.trials()
    assert len(trials) <= 5
    for trial in trials:
        expected = ends.get(trial.number)
        assert trial.state == ("running" if expected is None else expected.state)
        assert trial.metrics == (expected.metrics if expected else {})
    study.close()


@pytest.mark.parametrize(
    ("fields", "num_asked"),
    [
        ({"search.target": 0.7}, 3),
        ({"search.patience_trials": 2}, 5),
        ({"search.compute_budget_hours": 1.5 * 4 / 3600}, 4),
    ],
    ids=["target", "patience", "compute"],
)
def test_a_budget_ends_the_search_also_after_a_resumption(folder, make_config, make_outcome, fields, num_asked):
    study = create_study(folder, make_config(**{"search.trials": 20, **fields}))
    for value in (0.5, 0.6, 0.7, 0.65, 0.66):
        trial = study.ask()
        if trial is None:
            break
        study.tell(trial.number, make_outcome(value))
    assert study.ask() is None
    assert study.stored.num_searched == num_asked
    study.close()
    again = resume_study(folder)
    assert again.ask() is None
    assert next(iter(fields)).removeprefix("search.") in again.budget_used
    again.close()


def test_a_small_space_ends_the_search_before_the_budget(folder, make_config, make_outcome):
    study = create_study(
        folder, make_config(growth={"kind": "static"}, **{"training.learning_rate": 0.01, "search.trials": 10})
    )
    asked = []
    while (trial := study.ask()) is not None:
        asked.append(trial.params["model.widths"])
        study.tell(trial.number, make_outcome())
    assert sorted(asked) == [[2], [4, 4], [8]]
    assert study.budget_used is None
    assert study.stored.is_unfinished
    study.conclude()
    study.close()
    stored = StoredStudy(folder)
    assert (stored.enough, stored.is_unfinished) == ("no point of the space is left that was not tried", False)
    resume_study(folder).close()
    assert StoredStudy(folder).is_unfinished  # it may have been given more
