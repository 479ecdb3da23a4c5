import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from neurosearch.config.load import study_from_mapping
from neurosearch.config.trial import TrialConfig
from neurosearch.search.sampling import Suggester


def small_space(trials=20, sampler="tpe", seed=0):
    return study_from_mapping(
        {
            "name": "small",
            "seed": seed,
            "data": {"kind": "digits"},
            "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[2], [4], [8], [16]]}},
            "training": {"epochs": {"search": "int", "low": 1, "high": 3}},
            "growth": {"kind": "static"},
            "search": {"trials": trials, "sampler": sampler},
        },
        "test",
    )


def frozen(suggestion):
    return create_trial(state=TrialState.RUNNING, params=suggestion.params, distributions=suggestion.distributions)


def searched(suggester, count, score=lambda config: config.training.learning_rate, violation=lambda config: 0.0):
    suggestions = []
    for number in range(count):
        suggestion = suggester.suggest(number)
        if suggestion is None:
            break
        suggestions.append(suggestion)
        value = score(suggestion.config)
        suggester.ended(number, None if value is None else (value,), violation(suggestion.config))
    return suggestions


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_finite_space_is_searched_without_repetition_and_to_its_last_point(sampler):
    found = searched(Suggester(small_space(sampler=sampler)), 30)
    points = {(suggestion.config.model.widths, suggestion.config.training.epochs) for suggestion in found}
    assert len(points) == len(found) == 12


def test_a_configuration_that_ran_unsuggested_is_not_suggested():
    suggester, config = Suggester(small_space()), small_space()
    known = {**config.to_mapping(), "seed": 0}
    known = TrialConfig.model_validate(
        {name: known[name] for name in ("data", "growth", "seed")}
        | {"model": {"kind": "mlp", "widths": [2]}, "training": {"epochs": 1}}
    )
    suggester.know(known.model_dump(mode="json"))
    assert known not in [suggestion.config for suggestion in searched(suggester, 30)]


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), scores=st.lists(st.floats(-1, 1), min_size=15, max_size=15))
def test_the_same_seed_and_history_give_the_same_suggestions(seed, scores):
    def run():
        suggester = Suggester(small_space(seed=seed))
        numbers = iter(scores)
        return [each.config for each in searched(suggester, 15, lambda config: next(numbers))]

    assert run() == run()


def test_a_taken_over_study_goes_on_as_if_it_had_not_stopped(make_config):
    config = make_config(**{"search.trials": 40})
    whole = Suggester(config)
    expected = searched(whole, 25)

    first = Suggester(config)
    begun = searched(first, 14)
    second = Suggester(config)
    for number, suggestion in enumerate(begun):
        second.add(number, frozen(suggestion), suggestion.config.model_dump(mode="json"))
        second.ended(number, (suggestion.config.training.learning_rate,), 0.0)
    rest = [second.suggest(number) for number in range(14, 15)]
    assert [each.config for each in (*begun, *rest)] == [each.config for each in expected[:15]]


def test_other_study_seeds_give_other_suggestions(make_config):
    first, second = (Suggester(make_config(seed=seed)).suggest(0) for seed in (1, 2))
    assert first.config.training != second.config.training


def test_the_sampler_learns_what_is_good(make_config):
    suggester = Suggester(make_config(**{"search.trials": 60}))
    found = searched(suggester, 60, lambda config: -abs(config.training.learning_rate - 0.05))

    def distance(part):
        return sum(abs(each.config.training.learning_rate - 0.05) for each in part) / len(part)

    assert distance(found[40:]) < 0.75 * distance(found[:10])


def test_what_was_stopped_draws_the_sampler_to_where_it_was_better_than_what_finished(make_config):
    losses = {"search": "choice", "options": ["cross_entropy", "balanced_softmax"]}
    changes = {"growth": {"kind": "static"}, "model.widths": [4], "training.loss": losses, "search.trials": 60}
    suggester, found = Suggester(make_config(**changes)), []
    for number in range(60):
        found.append(suggester.suggest(number).config.training.loss.kind)
        if found[-1] == "cross_entropy" and number % 3 == 0:  # by luck, say
            suggester.ended(number, (0.6,), 0.0)
        else:
            suggester.stopped(number, (0.7 if found[-1] == "balanced_softmax" else 0.5,), 0.0, 2)
    assert found[40:].count("balanced_softmax") > 12


def test_the_sampler_leaves_what_is_too_large(make_config):
    suggester = Suggester(make_config(**{"search.trials": 60}))
    found = searched(suggester, 60, lambda config: 1.0, lambda config: sum(config.model.widths) / 4 - 1)
    assert sum(each.config.model.widths != (2,) for each in found[40:]) < 10


def test_the_sampler_leaves_what_fails(make_config):
    suggester = Suggester(make_config(**{"search.trials": 60}))
    found = searched(suggester, 60, lambda config: None if config.training.learning_rate > 0.01 else 0.5)
    assert sum(each.config.training.learning_rate > 0.01 for each in found[40:]) < 10


def test_a_point_that_breaks_a_rule_costs_no_trial():
    # So many corners that the config's check looks at pairs of ends only, and the three last options together, at which
    # no cycle fits, are first met here.
    config = study_from_mapping(
        {
            "name": "rules",
            "data": {"kind": "digits"},
            "model": {"kind": "mlp", "widths": {"search": "choice", "options": [[width] for width in range(1, 601)]}},
            "training": {"epochs": {"search": "choice", "options": [10, 6]}},
            "growth": {
                "kind": "periodic",
                "period_epochs": 5,
                "grown_epochs": {"search": "choice", "options": [1, 4]},
                "stop_share": {"search": "choice", "options": [1.0, 0.5]},
            },
            "search": {"trials": 40, "sampler": "random"},
        },
        "test",
    )
    with pytest.raises(ValueError, match="no neuron would ever be added"):
        config.trial(lambda name, node: node.ends[-1])
    found = searched(Suggester(config), 40, lambda config: 0.5)
    assert len(found) == 40
    assert all(
        each.config.growth.grown_epochs <= each.config.training.epochs * each.config.growth.stop_share for each in found
    )
