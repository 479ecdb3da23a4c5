import pytest

from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import EARLIER
from neurosearch.search.study import create_study, resume_study
from neurosearch.search.warm_start import EarlierTrial, placed


@pytest.fixture
def other(folder):
    return StudyFolder(folder.root, "later")


@pytest.fixture
def make_later(make_config):
    """Makes a study that learns from the one named moons, with some fields changed."""

    def make(**changes):
        return make_config(**{"name": "later", "search.warm_start": {"study": "moons"}, **changes})

    return make


def ended(folder, config, make_outcome, count=12):
    study = create_study(folder, config)
    for _ in range(count):
        trial = study.ask()
        study.tell(trial.number, make_outcome(1 - trial.config["training"]["learning_rate"], parameters=50))
    study.close()
    return study


def earlier(params, **sections):
    config = {
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 4, "learning_rate": 0.02},
        "growth": {"kind": "static"},
    }
    return EarlierTrial(params, {**config, **sections}, (0.5,), 0.0).to_dict()


def test_values_are_found_under_their_names_and_in_the_config(make_config):
    searched = earlier({"model.widths": [4, 4]}, growth={"kind": "nimble", "target_share": 0.5})
    ((point, ending),) = placed(make_config(), [searched])
    assert point.params == {
        "model.widths": "[4, 4]",  # as it was searched
        "training.learning_rate": 0.02,  # as it was fixed
        "growth": "nimble",
        "growth.nimble.target_share": 0.5,
    }
    assert point.distributions.keys() == point.params.keys()
    assert (ending.values, ending.violation) == ((0.5,), 0.0)


def test_a_value_outside_the_space_is_drawn(make_config):
    outside = earlier({}, training={"epochs": 4, "learning_rate": 10.0})
    ((point, _), (again, _)) = (placed(make_config(), [outside])[0] for _ in range(2))
    assert 1e-3 <= point.params["training.learning_rate"] <= 1e-1
    assert point.params["model.widths"] == "[8]"
    assert point == again


def test_a_trial_of_which_nothing_lies_in_the_space_is_left_out(make_config):
    nothing = earlier({}, model={"kind": "mlp", "widths": [3]}, training={"epochs": 1, "learning_rate": 9.0})
    config = make_config(growth={"kind": "static"})
    assert placed(config, [nothing]) == []
    assert placed(make_config(), [earlier({}, growth={"kind": "periodic"})]) == []


def test_options_without_a_kind_are_found_by_their_names(make_config):
    ratio = {"search": "uniform", "low": 5.0, "high": 50.0}
    options = [{"profile": "exponential", "ratio": 20.0}, {"profile": "step", "ratio": ratio}]
    config = make_config(**{"data.imbalance": {"search": "one_of", "options": options}})
    data = {"kind": "digits", "imbalance": {"profile": "step", "ratio": 30.0}}
    ((point, _),) = placed(config, [earlier({"data.imbalance": "option-2"}, data=data)])
    assert (point.params["data.imbalance"], point.params["data.imbalance.option-2.ratio"]) == ("option-2", 30.0)
    assert placed(config, [earlier({}, data=data)]) == [], "nothing says which of them it is"


def test_widths_are_found_again_layer_by_layer(make_config):
    config = make_config(**{"model.widths": {"search": "widths", "depth": {"low": 1, "high": 3}, "low": 2, "high": 9}})
    ((point, _),) = placed(config, [earlier({}, model={"kind": "mlp", "widths": [8, 3]})])
    widths = {name: value for name, value in point.params.items() if name.startswith("model")}
    assert widths == {"model.widths.depth": 2, "model.widths.layer_1": 8, "model.widths.layer_2": 3}


def test_the_sampler_knows_the_earlier_trials_and_the_study_counts_its_own(
    folder, other, make_later, make_config, make_outcome
):
    ended(folder, make_config(**{"search.trials": 12}), make_outcome)
    study = create_study(other, make_later())
    assert study.stored.trials() == ()
    assert study.stored.best() is None
    rates = []
    for _ in range(5):
        trial = study.ask()
        rates.append(trial.config["training"]["learning_rate"])
        study.tell(trial.number, make_outcome(1 - rates[-1], parameters=50))
    assert study.ask() is None
    assert [trial.number for trial in study.stored.trials()] == list(range(5))
    without = create_study(StudyFolder(folder.root, "alone"), make_config(name="alone"))
    assert rates[0] != without.ask().config["training"]["learning_rate"]
    study.close()
    without.close()


def test_a_resumed_study_knows_what_the_earlier_one_was_when_it_began(
    folder, other, make_later, make_config, make_outcome
):
    def first_trials(between):
        place = StudyFolder(folder.root, "undisturbed" if between is None else "resumed")
        study = create_study(place, make_later(name=place.name))
        begun = study.ask()
        study.tell(begun.number, make_outcome(0.5, parameters=50))
        if between is not None:
            study.close()
            between()
            study = resume_study(place)
        following = study.ask()
        study.close()
        return [begun.config, following.config]

    config = make_config(**{"search.trials": 14})
    ended(folder, config, make_outcome)

    def more():
        study = resume_study(folder)
        trial = study.ask()
        study.tell(trial.number, make_outcome(0.9, parameters=50))
        study.close()

    assert first_trials(None) == first_trials(more)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"search.objectives": [{"metric": "accuracy", "direction": "maximize"}]}, "was judged by balanced_accuracy"),
        ({"search.warm_start": {"study": "later"}}, "which is this study itself"),
        ({"search.warm_start": {"study": "nowhere"}}, r"no study 'nowhere'.* or another search\.warm_start\.folder"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(folder, other, make_later, make_config, make_outcome, changes, told):
    ended(folder, make_config(), make_outcome, 2)
    with pytest.raises(StudyError, match=told):
        create_study(other, make_later(**changes))
    create_study(other, make_later()).close()


def test_the_config_of_an_earlier_study_in_another_folder_is_found(
    folder, make_later, make_config, make_outcome, tmp_path
):
    ended(folder, make_config(), make_outcome, 3)
    config = make_later(**{"search.warm_start": {"study": "moons", "folder": str(folder.root)}})
    study = create_study(StudyFolder(tmp_path / "elsewhere", "later"), config)
    assert len(study.stored.attributes()[EARLIER]) == 3
    study.close()
