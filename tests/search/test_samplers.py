import math
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from neurosearch.config.base import ConfigError
from neurosearch.config.load import study_from_mapping
from neurosearch.search.history import Ending, Point
from neurosearch.search.sampling import Suggester

LEARNING = ("tpe", "gp", "cmaes", "nsga2")
SAMPLERS = (*LEARNING, "qmc", "random", "grid")
OBJECTIVES = [
    {"metric": "balanced_accuracy", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
]

epochs = st.sampled_from(
    [3, {"search": "int", "low": 1, "high": 4}, {"search": "int", "low": 2, "high": 40, "step": 3}]
)
rates = st.sampled_from(
    [
        0.1,
        {"search": "log_uniform", "low": 1e-3, "high": 1e-1},
        {"search": "log_uniform", "low": 1e-3, "high": 1e-1, "steps": 5},
        {"search": "uniform", "low": 0.1, "high": 0.5},
    ]
)
tapering = {"search": "widths", "depth": {"low": 1, "high": 3}, "low": 2, "high": 8, "shape": "tapering"}
widths = st.sampled_from([[4], {"search": "choice", "options": [[2], [4, 4], [8]]}, tapering])
growths = st.sampled_from(
    [
        {"kind": "static"},
        {
            "search": "one_of",
            "options": [
                {"kind": "static"},
                {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.25, "high": 1.0, "step": 0.25}},
            ],
        },
    ]
)


@st.composite
def studies(draw, sampler):
    count = 1 if sampler == "cmaes" else draw(st.integers(1, 2))
    values = {
        "name": "small",
        "seed": draw(st.integers(0, 100)),
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": draw(widths)},
        "training": {"epochs": draw(epochs), "learning_rate": draw(rates)},
        "growth": draw(growths),
        "search": {"sampler": sampler, "objectives": OBJECTIVES[:count]},
    }
    if draw(st.booleans()):
        values["search"]["points"] = (
            [{"training.epochs": 2}] if isinstance(values["training"]["epochs"], dict) else [{}]
        )
    try:
        return study_from_mapping(values, "test")
    except ConfigError:
        assume(False)


class Told:
    """What a storage would know of a study."""

    def __init__(self, config):
        self.config = config
        self.suggestions = {}
        self.endings = {}

    def start(self, suggester):
        number = 2 * len(self.suggestions)  # controls have numbers, too
        suggestion = suggester.suggest(number)
        if suggestion is not None:
            self.suggestions[number] = suggestion
        return suggestion

    def end(self, suggester, number, dice):
        size = sum(self.suggestions[number].config.model.widths)
        values = (dice.random(), float(size))[: len(self.config.study.search.objectives)]
        kind = dice.choice(["finished", "finished", "stopped", "failed"])
        violation = size / 6 - 1
        self.endings[number] = {
            "finished": lambda each: each.ended(number, values, violation),
            "stopped": lambda each: each.stopped(number, values, violation, 2),
            "failed": lambda each: each.ended(number, None, 0.0),
        }[kind]
        self.endings[number](suggester)

    def running(self):
        return [number for number in self.suggestions if number not in self.endings]

    def rebuilt(self):
        suggester = Suggester(self.config)
        for number, each in self.suggestions.items():
            trial = create_trial(state=TrialState.RUNNING, params=each.params, distributions=each.distributions)
            suggester.add(number, trial, each.config.model_dump(mode="json"))
            if number in self.endings:
                self.endings[number](suggester)
        return suggester


def examples(sampler):  # a draw of gp takes a second
    return 3 if sampler == "gp" else 20


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_new_process_suggests_what_the_one_before_would_have(sampler):
    @settings(max_examples=examples(sampler))
    @given(studies(sampler), st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 12 if sampler == "gp" else 45))
    def check(config, seed, concurrency, trials):
        dice, told, suggester = random.Random(seed), Told(config), Suggester(config)
        for _ in range(trials):
            if told.start(suggester) is None:
                break
            while len(told.running()) >= concurrency:
                told.end(suggester, dice.choice(told.running()), dice)
            if dice.random() < 0.1:
                suggester = told.rebuilt()
        following = [told.rebuilt().suggest(1000), suggester.suggest(1000)]
        assert following[0] == following[1]

    check()


BRANCHES = {
    "search": "one_of",
    "options": [
        {"kind": "static"},
        {"kind": "nimble", "target_share": {"search": "uniform", "low": 0.1, "high": 1.0}},
    ],
}
# A draw of gp takes most of a second, so it gets one branch and few trials.
TRIALS = {"tpe": 80, "cmaes": 160, "nsga2": 240, "gp": 14}


def learning(sampler, objectives=OBJECTIVES[:1], **fields):
    return study_from_mapping(
        {
            "name": "small",
            "data": {"kind": "digits"},
            "model": {"kind": "mlp", "widths": [{"search": "int", "low": 1, "high": 100}]},
            "training": {"epochs": 3, "learning_rate": {"search": "log_uniform", "low": 1e-4, "high": 1.0}},
            "growth": {"kind": "static"} if sampler == "gp" else BRANCHES,
            "search": {"sampler": sampler, "objectives": objectives, **fields},
        },
        "test",
    )


def distance(config):
    """Returns how far a config is from the best one, in a space where all hyperparameters matter."""
    share = getattr(config.growth, "target_share", 0.5)
    return (
        abs(math.log10(config.training.learning_rate) + 2) / 2
        + abs(config.model.widths[0] - 60) / 60
        + abs(share - 0.5)
    )


def searched(suggester, numbers, values):
    found = []
    for number in numbers:
        suggestion = suggester.suggest(number)
        found.append(suggestion.config)
        suggester.ended(number, values(suggestion.config), -0.1)
    return found


@pytest.mark.parametrize("sampler", LEARNING)
def test_a_sampler_comes_near_the_best_point_of_every_branch(sampler):
    found = searched(Suggester(learning(sampler)), range(TRIALS[sampler]), lambda config: (-distance(config),))
    assert sum(map(distance, found[-5:])) < 0.75 * sum(map(distance, found[:5]))
    assert sampler == "gp" or {config.growth.kind for config in found[-10:]} == {"static", "nimble"}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_several_objectives_are_followed_at_once(sampler):
    def values(config):
        return (-abs(math.log10(config.training.learning_rate) + 2), float(config.model.widths[0]))

    found = searched(Suggester(learning(sampler, OBJECTIVES)), range(TRIALS[sampler]), values)

    def regret(configs):
        return sum(values(config)[1] / 100 - values(config)[0] for config in configs)

    assert regret(found[-5:]) < 0.75 * regret(found[:5])


@pytest.mark.parametrize("sampler", LEARNING)
def test_what_fails_or_is_beyond_the_bounds_is_left(sampler):
    suggester, found = Suggester(learning(sampler)), []
    for number in range(TRIALS[sampler]):
        found.append(suggester.suggest(number).config)
        rate, width = found[-1].training.learning_rate, found[-1].model.widths[0]
        suggester.ended(number, None if rate > 0.1 else (-abs(math.log10(rate) + 2),), width / 40 - 1)
    useless = [config.model.widths[0] > 40 or config.training.learning_rate > 0.1 for config in found]
    assert sum(useless[-4:]) <= 2


def test_a_sobol_sequence_fills_every_range_evenly():
    found = searched(Suggester(learning("qmc")), range(64), lambda config: (0.5,))
    for part in range(4):
        assert 14 <= sum(25 * part < config.model.widths[0] <= 25 * (part + 1) for config in found) <= 18
    assert sum(config.growth.kind == "static" for config in found) == 32


def test_a_grid_is_every_point_once():
    values = learning("tpe").to_mapping()
    training = {**values["training"], "learning_rate": {"search": "log_uniform", "low": 0.01, "high": 0.1, "steps": 2}}
    model = {"kind": "mlp", "widths": [{"search": "int", "low": 1, "high": 3}]}
    growth = {"search": "one_of", "options": [{"kind": "static"}, {"kind": "nimble"}]}
    changed = {"training": training, "model": model, "growth": growth, "search": {"sampler": "grid"}}
    suggester = Suggester(study_from_mapping({**values, **changed}, "test"))
    found = [suggester.suggest(number) for number in range(13)]
    assert found[-1] is None
    assert len({repr(suggestion.config) for suggestion in found[:-1]}) == 12
    assert len({suggestion.config.model.widths for suggestion in found[:4]}) > 1


def test_listed_points_come_first_and_are_completed():
    points = [{"growth.nimble.target_share": 0.5, "model.widths[0]": 7}, {"training.learning_rate": 0.25}, {}]
    suggester = Suggester(learning("tpe", points=points))
    first, second, _ = searched(suggester, range(3), lambda config: (0.5,))
    assert (first.growth.kind, first.growth.target_share, first.model.widths) == ("nimble", 0.5, (7,))
    assert second.training.learning_rate == 0.25


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_listed_point_that_is_known_is_not_tried_again(sampler):
    widths = {"search": "int", "low": 1, "high": 3}
    values = {
        **learning("tpe").to_mapping(),
        "model": {"kind": "mlp", "widths": [widths]},
        "training": {"epochs": 3},
        "growth": {"kind": "static"},
        "search": {"sampler": sampler, "points": [{"model.widths[0]": 2}, {"model.widths[0]": 2}]},
    }
    suggester = Suggester(study_from_mapping(values, "test"))
    found = [suggester.suggest(number) for number in range(4)]
    assert found[0].values == {"model.widths[0]": 2}
    assert found[3] is None
    assert sorted(each.values["model.widths[0]"] for each in found[:3]) == [1, 2, 3]


@pytest.mark.parametrize("sampler", LEARNING)
def test_earlier_trials_of_a_like_space_give_a_better_start(sampler):
    def far(config):  # from a corner, not from the middle, where some samplers start
        return -math.log10(config.training.learning_rate) + (100 - config.model.widths[0]) / 50

    config = learning(sampler)
    at_random = Suggester(study_from_mapping({**config.to_mapping(), "search": {"sampler": "random"}}, "test"))
    drawn = [at_random.suggest(number) for number in range(20 if sampler == "gp" else 120)]
    earlier = [(Point(each.params, each.distributions), Ending((-far(each.config),), -0.1)) for each in drawn]
    told, alone = (
        searched(Suggester(config, known), range(3 if sampler == "gp" else 12), lambda trial: (-far(trial),))
        for known in (earlier, ())
    )
    assert sum(map(far, told)) < 0.8 * sum(map(far, alone))


@pytest.mark.parametrize("sampler", ["cmaes", "nsga2"])
def test_earlier_trials_of_one_branch_take_no_turns_from_it(sampler):
    config = learning(sampler)
    drawn = [each for each in map(Suggester(config).suggest, range(24)) if each.config.growth.kind == "nimble"]
    earlier = [(Point(each.params, each.distributions), Ending((0.5,), 0.0)) for each in drawn]
    found = searched(Suggester(config, earlier), range(6), lambda trial: (0.5,))
    assert sum(each.growth.kind == "nimble" for each in found) == 3


def test_what_a_single_option_holds_is_drawn_jointly_too(monkeypatch):
    values = learning("tpe").to_mapping()
    growth = {"search": "one_of", "options": [values["growth"]["options"][-1]]}
    suggester = Suggester(study_from_mapping({**values, "growth": growth}, "test"))
    searched(suggester, range(10), lambda config: (-distance(config),))  # at random

    def alone(*_):
        raise AssertionError("drawn without a look at the others")

    monkeypatch.setattr(TPESampler, "sample_independent", alone)
    assert 0.0 <= suggester.suggest(10).config.growth.target_share <= 1.0
