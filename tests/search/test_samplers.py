import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from neurosearch.config.base import ConfigError
from neurosearch.config.load import study_from_mapping
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
widths = st.sampled_from([[4], {"search": "choice", "options": [[2], [4, 4], [8]]}])
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
    @given(studies(sampler), st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 13 if sampler == "gp" else 45))
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
