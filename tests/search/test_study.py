import os

import pytest

from neurosearch.config.trial import TrialConfig
from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.reports import from_attributes
from neurosearch.search.storage import stored_names
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import check_name_is_free, create_study, resume_study


def test_an_asked_trial_holds_a_valid_config_and_its_searched_values(study):
    trial = study.ask()
    config = TrialConfig.model_validate(trial.config)
    assert config.model_dump(mode="json") == trial.config
    assert trial.params["training.learning_rate"] == config.training.learning_rate
    assert trial.params["model.widths"] == list(config.model.widths)
    assert trial.params["growth"] == config.growth.kind
    assert (trial.number, trial.role, trial.run_id) == (0, "search", None)


def test_every_trial_has_the_study_seed(study):
    assert {study.ask().config["seed"] for _ in range(5)} == {3}


def test_the_budget_counts_every_suggested_trial_however_it_ended(study, make_outcome):
    for number in range(5):
        assert study.ask().number == number
        study.tell(number, make_outcome() if number % 2 else TrialOutcome.failed("broke"))
    assert study.ask() is None
    assert study.budget_used is not None


def test_the_best_trial_is_the_feasible_one_with_the_best_value(study, make_outcome):
    for value, parameters in ((0.5, 100), (0.9, 101), (0.7, 99)):
        study.tell(study.ask().number, make_outcome(value, parameters))
    study.tell(study.ask().number, TrialOutcome.failed("broke"))
    states = [trial.state for trial in study.stored.trials()]
    assert states == ["finished", "infeasible", "finished", "failed"]
    assert study.stored.best().number == 2


def test_nothing_is_best_when_nothing_is_feasible(study, make_outcome):
    study.tell(study.ask().number, make_outcome(0.9, 101))
    study.ask()
    assert study.stored.best() is None


def test_a_trial_told_twice_stays_as_it_was_told_first(study, make_outcome):
    number = study.ask().number
    first = study.tell(number, make_outcome(0.5))
    assert study.tell(number, make_outcome(0.9)) == first
    assert study.tell(number, TrialOutcome.failed("late")) == first
    assert study.stored.trial(number) == first


def test_reports_are_kept_once_by_epoch_and_not_after_the_end(study, make_outcome, make_record):
    number = study.ask().number
    study.report(number, [make_record(1, 0.1), make_record(2, 0.2)])
    study.report(number, [make_record(2, 0.9), make_record(3, 0.3)])
    study.tell(number, make_outcome())
    study.report(number, [make_record(4, 0.4)])
    assert study.stored.frozen_trial(number).intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_an_outcome_without_the_objective_fails_with_the_metric_named(folder, make_config, make_outcome):
    objective = [{"metric": "few_recall", "direction": "maximize"}]
    study = create_study(folder, make_config(**{"search.objectives": objective}))
    summary = study.tell(study.ask().number, make_outcome())
    study.close()
    assert summary.state == "failed"
    assert "few_recall" in summary.reason


def test_a_minimized_objective_is_best_when_least(folder, make_config, make_outcome):
    objective = [{"metric": "validation_loss", "direction": "minimize"}]
    study = create_study(folder, make_config(**{"search.objectives": objective}))
    for value in (0.5, 0.2, 0.7):
        study.tell(study.ask().number, make_outcome(validation_loss=value))
    assert study.stored.best().number == 1
    study.close()


def test_the_control_is_asked_for_once(study, make_outcome):
    winner = study.ask()
    study.tell(winner.number, make_outcome())
    config = TrialConfig.model_validate(winner.config)
    wider = config.model_copy(update={"model": config.model.model_copy(update={"widths": (9, 9)})})
    assert study.ask_for(config, "control", study.stored.search_seeds, {}) is None
    control = study.ask_for(wider, "control", study.stored.search_seeds, {})
    assert (control.number, control.role, control.params) == (1, "control", {})
    assert study.ask_for(wider, "control", study.stored.search_seeds, {}) == control
    study.tell(control.number, make_outcome(0.9))
    assert study.ask_for(wider, "control", study.stored.search_seeds, {}) is None
    assert study.stored.best().number == 1
    assert study.stored.best("search").number == 0
    assert study.stored.num_searched == 1


def test_controls_do_not_change_what_is_suggested_next(folder, make_config, make_outcome):
    def suggestions(name, with_control):
        study = create_study(StudyFolder(folder.root, name), make_config(name=name, **{"search.trials": 20}))
        for _ in range(12):
            trial = study.ask()
            study.tell(trial.number, make_outcome(trial.config["training"]["learning_rate"]))
        if with_control:
            config = TrialConfig.model_validate(trial.config)
            wider = config.model_copy(update={"model": config.model.model_copy(update={"widths": (9, 9)})})
            study.tell(study.ask_for(wider, "control", study.stored.search_seeds, {}).number, make_outcome())
        suggested = study._suggester.suggest(99)
        study.close()
        return suggested.config

    assert suggestions("without", with_control=False) == suggestions("with", with_control=True)


# Creating, resuming, stopping


def test_a_used_name_is_refused_with_the_way_on(study, make_config):
    study.ask()
    with pytest.raises(StudyError, match=r"'moons'.*neurosearch resume moons.*another name"):
        check_name_is_free(study.stored.folder, make_config())


def test_a_used_name_with_another_space_is_refused_with_what_differs(study, make_config):
    study.ask()
    study.close()
    changed = make_config(**{"training.epochs": 5, "size_limit": {"neurons": 7}, "search.trials": 99})
    with pytest.raises(StudyError, match=r"training\.epochs, size_limit\.parameters, size_limit\.neurons differ"):
        create_study(study.stored.folder, changed)
    with pytest.raises(StudyError, match=r"training\.epochs"):
        resume_study(study.stored.folder, changed)


def test_a_study_without_a_trial_does_not_hold_its_name(study, make_config):
    study.close()
    other = create_study(study.stored.folder, make_config(**{"training.epochs": 5}))
    assert other.ask().config["training"]["epochs"] == 5
    other.close()


def test_a_refused_study_leaves_the_right_to_search_free(study, make_config):
    study.ask()
    study.close()
    with pytest.raises(StudyError, match="already"):
        create_study(study.stored.folder, make_config())
    resume_study(study.stored.folder).close()


def test_an_unwritable_folder_is_refused(tmp_path, make_config):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"cannot be written.*storage\.folder"):
        create_study(StudyFolder(tmp_path / "file", "moons"), make_config())


def test_a_missing_study_is_refused_with_those_there_are(study):
    with pytest.raises(StudyError, match=r"no study 'suns'.*Studies there: moons"):
        StoredStudy(StudyFolder(study.stored.folder.root, "suns"))
    assert stored_names(study.stored.folder) == ("moons",)


def test_a_missing_trial_is_refused(study):
    study.ask()
    with pytest.raises(StudyError, match="no trial 1; it has 1"):
        study.stored.trial(1)


def test_only_one_process_searches_a_study(study):
    with pytest.raises(StudyError, match=f"searched already, by process {os.getpid()}.*neurosearch stop moons"):
        resume_study(study.stored.folder)


def test_a_stop_is_seen_by_the_process_that_searches_and_gone_after_a_resumption(study):
    assert study.stored.stop_requested is None
    StoredStudy(study.stored.folder).request_stop()
    assert study.stored.stop_requested == "soon"
    study.close()
    again = resume_study(study.stored.folder)
    assert again.stored.stop_requested is None
    again.close()


# Seeds, rungs, budgets


def test_every_configuration_is_judged_on_the_same_seeds(folder, make_config):
    study = create_study(folder, make_config(**{"search.seeds": 3}))
    seeds = {study.ask().seeds for _ in range(3)}
    study.close()
    assert len(seeds) == 1
    assert len(set(*seeds)) == 3
    assert next(iter(seeds))[0] == 3  # the study's own
    assert set(*seeds).isdisjoint(StoredStudy(folder).fresh_seeds)


def test_a_configuration_that_is_clearly_worse_stops_between_two_seeds(folder, make_config, make_outcome):
    study = create_study(folder, make_config(**{"search.seeds": 3, "search.trials": 9}))
    for values in ((0.80, 0.83, 0.79), (0.79, 0.80, 0.81), (0.83, 0.80, 0.80)):
        per_seed = tuple(make_outcome(value).metrics for value in values)
        outcome = TrialOutcome("finished", None, per_seed[0], 12, 1.0, (), per_seed)
        study.tell(study.ask().number, outcome)
    number = study.ask().number
    worse = [make_outcome(0.2).metrics, make_outcome(0.21).metrics]
    verdict = study.verdict(number, worse)
    assert verdict.stop
    assert "clearly worse" in verdict.reason
    assert not study.verdict(number, [make_outcome(0.8).metrics, make_outcome(0.81).metrics]).stop
    study.close()


def test_a_trial_that_is_behind_at_a_rung_is_stopped_and_never_the_best(folder, make_config, make_outcome, make_record):
    halving = {"kind": "halving", "reduction": 2, "first_share": 0.1}
    study = create_study(folder, make_config(**{"search.stopping": halving}))
    study.set_reference_cost(1000.0)
    study.set_reference_cost(5.0)  # the first one stays
    for value in (0.6, 0.7):
        number = study.ask().number
        study.report(number, [make_record(1, value, training_multiply_adds=150.0)])
        study.tell(number, make_outcome(value))
    number = study.ask().number
    study.report(number, [make_record(1, 0.99, training_multiply_adds=50.0)])
    assert not study.verdict(number, ()).stop  # it is on no rung yet
    study.report(number, [make_record(2, 0.5, training_multiply_adds=120.0)])
    verdict = study.verdict(number, ())
    assert verdict.stop
    summary = study.tell(number, TrialOutcome("stopped", verdict.reason, {"balanced_accuracy": 0.5}, 2, 1.0, ()))
    assert (summary.state, summary.value, summary.epochs) == ("stopped", None, 2)
    assert "rung 0" in summary.reason
    frozen = study.stored.frozen_trial(number)
    assert (frozen.state.name, frozen.intermediate_values) == ("PRUNED", {1: 0.99, 2: 0.5})
    assert study.stored.best().number == 1
    study.close()
    again = resume_study(folder)
    assert again.stored.trial(number) == summary
    assert again.ask() is not None
    again.close()


def test_a_trial_is_judged_by_its_first_two_thirds_and_not_when_it_was_just_pruned(folder, make_config, make_record):
    halving = {"kind": "halving", "reduction": 2, "first_share": 0.1}
    study = create_study(folder, make_config(**{"search.stopping": halving}))
    study.set_reference_cost(1000.0)
    for value in (0.6, 0.7):
        study.report(study.ask().number, [make_record(1, value, training_multiply_adds=150.0)])
    number = study.ask().number
    event = {"step": 5, "epoch": 1, "group": "0", "added": 0, "removed": 2, "reason": "back to the base size"}
    study.report(number, [{**make_record(1, 0.1, training_multiply_adds=110.0), "events": [event]}])
    assert study.verdict(number, ()).rung is None
    study.report(number, [make_record(2, 0.9, training_multiply_adds=120.0)])
    assert study.verdict(number, ()).rung == 0
    study.report(number, [make_record(3, 0.0, training_multiply_adds=500.0)])  # of 4 epochs
    verdict = study.verdict(number, ())
    assert (verdict.rung, verdict.stop) == (0, False)
    study.close()


def test_the_storage_keeps_events_and_checkpoints_of_every_epoch(study, make_record):
    number = study.ask().number
    event = {"step": 5, "epoch": 1, "group": "0", "added": 2, "removed": 0, "reason": "start of a cycle"}
    study.report(number, [{**make_record(1), "events": [event], "checkpoint": "checkpoint-000001.pt"}, make_record(2)])
    first, second = from_attributes(study.stored.frozen_trial(number).user_attrs)
    assert (first.events, first.checkpoint, first.epoch) == ((event,), "checkpoint-000001.pt", 1)
    assert (second.events, second.checkpoint, second.epoch) == ((), None, 2)


def test_several_objectives_have_a_front(folder, make_config, make_outcome):
    objectives = [
        {"metric": "balanced_accuracy", "direction": "maximize"},
        {"metric": "parameters", "direction": "minimize"},
    ]
    study = create_study(folder, make_config(**{"search.objectives": objectives}))
    for value, parameters in ((0.5, 20), (0.7, 60), (0.6, 80), (0.9, 101)):
        study.tell(study.ask().number, make_outcome(value, parameters))
    assert [each.trial for each in study.stored.reached().front] == [1, 0]  # the last is above the size limit
    assert study.stored.trial(0).values == (0.5, 20.0)
    assert study.stored.best().number == 1
    assert study.ask() is not None
    study.close()


def test_after_the_finalists_the_best_is_one_on_fresh_seeds(study, make_outcome):
    lucky, sound = study.ask(), study.ask()
    study.tell(lucky.number, make_outcome(0.9))
    study.tell(sound.number, make_outcome(0.8))
    assert study.stored.best().number == lucky.number
    for trial, value in ((lucky, 0.6), (sound, 0.7)):
        config = TrialConfig.model_validate(trial.config)
        finalist = study.ask_for(config, "finalist", study.stored.fresh_seeds, trial.params)
        assert finalist.params == trial.params
        study.tell(finalist.number, make_outcome(value))
    assert study.stored.best().value == 0.7
    assert study.stored.best("search").number == lucky.number


def test_with_more_fresh_seeds_the_best_stays_one_on_fresh_seeds(study, make_config, make_outcome):
    lucky = study.ask()
    study.tell(lucky.number, make_outcome(0.9))
    config = TrialConfig.model_validate(lucky.config)
    finalist = study.ask_for(config, "finalist", study.stored.fresh_seeds, lucky.params)
    study.tell(finalist.number, make_outcome(0.6))
    study.close()
    more = resume_study(study.stored.folder, make_config(**{"search.fresh_seeds": 7}))
    assert more.stored.best().number == finalist.number, "what no search chose is evidence, whatever is asked for now"
    again = more.ask_for(config, "finalist", more.stored.fresh_seeds, lucky.params)
    assert more.stored.best().number == finalist.number, "while it is trained again, too"
    more.tell(
        again.number,
        TrialOutcome("finished", None, make_outcome(0.7).metrics, 4, 1.5, (), (make_outcome(0.7).metrics,) * 7),
    )
    assert more.stored.best().number == again.number
    more.close()


def test_a_study_of_another_format_is_refused_and_left_as_it_is(study, make_config):
    study.ask()
    study.stored.storage.set_study_user_attr(study.stored.study_id, "format", 1)
    study.close()
    before = study.stored.folder.journal.read_bytes()
    for opened in (StoredStudy, resume_study, lambda folder: create_study(folder, make_config())):
        with pytest.raises(StudyError, match="storage format 1, and this neurosearch reads 2"):
            opened(study.stored.folder)
    assert study.stored.folder.journal.read_bytes() == before
