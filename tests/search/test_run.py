from dataclasses import replace

import pytest

from neurosearch.config.load import study_from_mapping
from neurosearch.config.yaml_source import parse_yaml
from neurosearch.data.problems import DataError
from neurosearch.search.answer import answered, unanswered
from neurosearch.search.data_cache import opened_data
from neurosearch.search.run import _confirmation, _make_ready, write_config
from neurosearch.search.study import create_study
from neurosearch.search.trial import trial_updates


def test_the_written_config_is_the_study_s(folder, make_config):
    write_config(folder, make_config())
    assert parse_yaml(folder.config.read_text(), "config.yaml").values == make_config().to_mapping()


def test_data_that_no_trial_can_use_are_found_before_the_first_one(folder, make_config, tmp_path):
    config = make_config(data={"kind": "npz", "path": str(tmp_path / "missing.npz")})
    study = create_study(folder, config)
    with pytest.raises(DataError, match=r"missing\.npz"):
        _make_ready(study)
    study.close()


def test_searched_data_are_prepared_when_they_are_chosen(folder, make_config):
    share = {"search": "choice", "options": [0.2, 0.5]}
    study = create_study(folder, make_config(**{"data.validation_share": share}))
    _make_ready(study)
    assert not folder.data.exists()
    study.close()


def test_data_are_prepared_once_for_all_trials(folder, make_config):
    config = make_config()
    study = create_study(folder, config)
    _make_ready(study)
    first = opened_data(config.trial(lambda name, node: _ends(node)[0]), study.stored.folder)
    second = opened_data(config.trial(lambda name, node: _ends(node)[-1]), study.stored.folder)
    assert first is second
    study.close()
    assert len([path for path in folder.data.iterdir() if path.is_dir()]) == 1


def _ends(node):
    return node.labels if hasattr(node, "labels") else node.ends


def test_the_control_is_the_largest_static_network_with_the_winner_s_hyperparameters(folder):
    config = study_from_mapping(
        {
            "name": "moons",
            "size_limit": {"parameters": 2000},
            "data": {"kind": "digits"},
            "model": {"kind": "mlp", "widths": [8]},
            "training": {"epochs": 1, "learning_rate": {"search": "log_uniform", "low": 1e-3, "high": 1e-2}},
            "growth": {"kind": "nimble"},
            "search": {"trials": 1, "finalists": 0},
        },
        "test",
    )
    study = create_study(folder, config)
    assert _confirmation(study) == ()  # nothing has been found yet
    winner = study.ask()
    (*_, update) = trial_updates(_leased(winner), folder, "cpu")
    study.tell(winner.number, update.outcome)
    (control,) = _confirmation(study)
    assert control.role == "control"
    assert control.config["growth"] == {"kind": "static"}
    assert control.config["training"] == winner.config["training"]
    assert control.config["data"] == winner.config["data"]
    (width,) = control.config["model"]["widths"]
    assert (64 + 1) * width + (width + 1) * 10 <= 2000 < (64 + 1) * (width + 1) + (width + 2) * 10
    (*_, update) = trial_updates(_leased(control), folder, "cpu")
    assert study.tell(control.number, update.outcome).state == "finished"
    assert list(_confirmation(study)) == []  # it has run
    study.close()


PERIODIC = {"kind": "periodic", "period_epochs": 3, "grown_epochs": 1, "stop_share": 1.0}


def _grown_study(folder, growth, arms):
    values = {
        "name": "arms",
        "size_limit": {"parameters": 2000},
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 3, "learning_rate": {"search": "log_uniform", "low": 1e-3, "high": 1e-2}},
        "growth": growth,
        "search": {"trials": 1, "finalists": 1, "fresh_seeds": 2, "arms": arms},
    }
    study = create_study(folder, study_from_mapping(values, "test"))
    trial = study.ask()
    (*_, update) = trial_updates(_leased(trial), folder, "cpu")
    study.tell(trial.number, update.outcome)
    return study


def test_arms_stand_beside_the_finalist_that_grew_on_the_same_seeds(folder):
    study = _grown_study(folder, PERIODIC, ["fixed", "equal_compute", "random_importance"])
    finalist, control, fixed, equal, random = _confirmation(study)
    assert [each.role for each in (fixed, equal, random)] == ["fixed", "equal_compute", "random_importance"]
    assert {each.seeds for each in (finalist, control, fixed, equal, random)} == {study.stored.fresh_seeds}
    assert control.config["model"]["widths"] > fixed.config["model"]["widths"] == [8]
    assert fixed.config["growth"] == equal.config["growth"] == {"kind": "static"}
    assert (fixed.config["training"]["epochs"], equal.config["training"]["epochs"]) == (3, 4)  # one epoch was wider
    assert random.config["growth"] == {**finalist.config["growth"], "importance": "random"}
    for each in (finalist, control, fixed, equal, random):
        (*_, update) = trial_updates(_leased(each), folder, "cpu")
        study.tell(each.number, update.outcome)
    assert list(_confirmation(study)) == []
    found = answered(study.stored.trials(), study.config.study)
    assert [arm["arm"] for arm in found.facts()["cause"]["arms"]] == ["fixed", "equal_compute", "random_importance"]
    assert study.stored.best().role in ("finalist", "control")
    arms = {fixed.number, equal.number, random.number}
    assert not arms & {each.trial for each in study.stored.reached().front}
    study.close()


def test_an_arm_that_cannot_be_is_left_out_with_a_word(folder):
    study = _grown_study(folder, {"kind": "nimble", "size_coefficient": 0.0}, ["random_importance"])
    with pytest.warns(UserWarning, match="random_importance is left out beside trial 0: growth of kind nimble"):
        assert [each.role for each in _confirmation(study)] == ["finalist", "control"]
    study.close()


def test_without_growth_there_are_no_arms(folder):
    study = _grown_study(folder, {"kind": "static"}, ["fixed", "equal_compute"])
    assert [each.role for each in _confirmation(study)] == ["finalist", "control"]
    study.close()


@pytest.mark.parametrize("finalists", [1, 2])
def test_a_fixed_winner_that_equals_its_control_stands_as_the_control_and_is_trained_once(
    folder, make_outcome, finalists
):
    growth = {"search": "one_of", "options": [{"kind": "static"}, PERIODIC]}
    training = {"epochs": 3, "learning_rate": {"search": "log_uniform", "low": 1e-3, "high": 1e-2}}
    search = {"trials": 4, "sampler": "gp", "finalists": finalists, "fresh_seeds": 3, "arms": []}  # gp: two of each
    values = {"name": "fixed", "data": {"kind": "digits"}, "model": {"kind": "mlp", "widths": [8]}}
    study = create_study(
        folder, study_from_mapping({**values, "training": training, "growth": growth, "search": search}, "test")
    )
    while (trial := study.ask()) is not None:
        study.tell(trial.number, make_outcome(0.9 if trial.config["growth"]["kind"] == "static" else 0.8))
    winner, asked = study.stored.best(), _confirmation(study)
    assert [each.role for each in asked] == ["control", "finalist"][:finalists]
    assert (asked[0].config, asked[0].params) == (winner.config, winner.params)
    for each, value in zip(asked, (0.7, 0.6), strict=False):
        scores = make_outcome(value)
        study.tell(each.number, replace(scores, per_seed=(scores.metrics,) * 3))
    assert list(_confirmation(study)) == []
    assert study.stored.best().number == asked[0].number
    found = answered(study.stored.trials(), study.config.study)
    if finalists == 1:
        assert found is None
        assert "search.finalists of 2 or more" in unanswered(study.stored.trials(), study.config.study)
    else:
        assert (found.searched, found.control, found.fixed_winner) == (asked[1].number, asked[0].number, True)
    study.close()


def _leased(trial):
    from neurosearch.search.lease import LeasedTrial

    return LeasedTrial(trial.number, trial.role, dict(trial.config), trial.seeds, ())
