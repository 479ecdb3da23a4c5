import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator

from neurosearch.search.folders import StudyFolder
from neurosearch.search.influence import FEWEST_TRIALS, influences
from neurosearch.search.study import create_study

NUM_TRIALS = 60


@pytest.fixture(scope="module")
def searched(make_config, make_outcome, tmp_path_factory):
    """A study whose score is made by the learning rate, and of a growth's share where that growth was drawn."""
    config = make_config(**{"search.trials": NUM_TRIALS, "search.sampler": "random"})
    study = create_study(StudyFolder(tmp_path_factory.mktemp("runs"), "moons"), config)
    for _ in range(NUM_TRIALS):
        trial = study.ask()
        rate = trial.config["training"]["learning_rate"]
        study.tell(trial.number, make_outcome(1 - 0.2 * abs(np.log10(rate) + 2)))
    study.close()
    return study.stored


def test_what_makes_the_score_comes_first_and_beyond_chance(searched):
    (found,) = influences(searched.snapshot())
    assert (found.objective.metric, found.num_trials, found.best_share) == ("balanced_accuracy", NUM_TRIALS, 0.1)
    first = found.found[0]
    assert (first.name, first.beyond_chance) == ("training.learning_rate", True)
    assert first.share > 0.5
    assert sum(each.share for each in found.found) == pytest.approx(1)
    assert all(0 <= each.low <= each.high <= 1 for each in found.found)
    assert {each.name for each in found.found} == {
        "model.widths",
        "training.learning_rate",
        "growth",
        "growth.nimble.target_share",
    }


def test_the_same_study_gives_the_same_figures(searched):
    assert influences(searched.snapshot()) == influences(searched.snapshot())


@pytest.mark.filterwarnings("ignore:.*(regimes|low `target`)")
def test_shares_are_optuna_s(searched):
    study = optuna.create_study()
    study.add_trials(searched.frozen_trials())
    values = PedAnovaImportanceEvaluator(target_quantile=0.1).evaluate(study, target=lambda trial: -trial.value)
    (found,) = influences(searched.snapshot())
    total = sum(values.values())
    assert {each.name: each.share for each in found.found} == pytest.approx(
        {name: value / total for name, value in values.items()}
    )


def test_what_has_no_influence_is_seldom_beyond_chance(make_config, make_outcome, folder):
    config = make_config(**{"search.trials": NUM_TRIALS, "search.sampler": "random"})
    study = create_study(folder, config)
    scores = np.random.default_rng(5).random(NUM_TRIALS)
    for score in scores:
        study.tell(study.ask().number, make_outcome(float(score)))
    (found,) = influences(study.stored.snapshot())
    study.close()
    assert sum(each.beyond_chance for each in found.found) <= 1


def test_too_few_trials_say_nothing(make_config, make_outcome, folder):
    study = create_study(folder, make_config(**{"search.trials": FEWEST_TRIALS - 1, "search.sampler": "random"}))
    for _ in range(FEWEST_TRIALS - 1):
        study.tell(study.ask().number, make_outcome(0.5))
    assert influences(study.stored.snapshot()) == ()
    study.close()
