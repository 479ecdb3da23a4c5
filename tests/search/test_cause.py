from dataclasses import replace

import pytest

from neurosearch.search.cause import cause, grown_leader
from neurosearch.search.seams import TrialSummary

SEEDS = (11, 12, 13, 14)
ALL = "the compute or the passing width or the recycling"
NOISE = (0.002, -0.002, 0.001, -0.001)


def trial(number, role, score, kind="static", **changed):
    per_seed = tuple(
        {"balanced_accuracy": score + noise * (1 + number / 50)} for noise in NOISE[number % 4 :] + NOISE[: number % 4]
    )
    summary = TrialSummary(
        number=number,
        role=role,
        kind=kind,
        state="finished",
        values=(score,),
        per_seed=per_seed,
        seeds=SEEDS,
        params={},
        config={"model": number},
        metrics={},
        epochs=4,
        seconds=1.0,
        reason=None,
        run_id=None,
        started=0.0,
        ended=1.0,
    )
    return replace(summary, **changed)


GROWN = trial(5, "finalist", 0.90, kind="periodic")
CONTROL = trial(7, "control", 0.85)


@pytest.fixture(scope="module")
def study(make_config):
    return make_config().study


def arms(**scores):
    return [trial(10 + number, role, score) for number, (role, score) in enumerate(scores.items())]


def verdict(study, others, control=CONTROL):
    return cause([GROWN, control, *others], study, control).lines()


def test_without_arms_nothing_is_said(study):
    assert verdict(study, []) == ()
    assert cause([replace(GROWN, kind="static"), CONTROL], study, CONTROL) is None


def test_each_arm_is_told_with_its_interval_and_its_test(study):
    first, line, *_ = verdict(study, arms(recycle=0.86))
    assert first == "Beside trial 5, on the same seeds:"
    assert line.startswith("Recycling of dormant neurons at constant size has balanced_accuracy .860")
    assert "; growth balanced_accuracy" not in line
    assert "growth +.040" in line
    assert "p < .001" in line
    assert line.endswith("against it.")


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (
            {"recycle": 0.86, "equal_compute": 0.87},
            ["It is more than the compute or the recycling: growth is clearly better than that."],
        ),
        (
            {"recycle": 0.90, "equal_compute": 0.87},
            ["What growth gives may be the recycling: against that it is not clearly better."],
        ),
        (
            {"recycle": 0.90, "equal_compute": 0.95, "wide_then_prune": 0.90},
            [f"What growth gives may be {ALL}: against that it is not clearly better."],
        ),
        (
            {"recycle": 0.86},
            [
                "It is more than the recycling: growth is clearly better than that.",
                "Whether it is the compute was not tried; search.arms: [equal_compute] does.",
            ],
        ),
        (
            {"random_importance": 0.80},
            ["Whether it is the compute and the recycling was not tried; search.arms: [equal_compute, recycle] does."],
        ),
        (
            {"fixed": 0.90, "recycle": 0.7},
            ["Growth is not clearly better than a fixed network here, so there is no gain to explain."],
        ),
    ],
)
def test_the_arms_say_where_a_gain_may_come_from(study, scores, words):
    assert list(verdict(study, arms(**scores))[1 + len(scores) :]) == words


def test_where_growth_does_not_help_there_is_nothing_to_explain(study):
    lines = verdict(study, arms(recycle=0.86), control=trial(7, "control", 0.90))
    assert lines[-1] == "Growth is not clearly better than a fixed network here, so there is no gain to explain."


def test_an_arm_on_other_seeds_or_without_an_end_is_left_out(study):
    other, open_arm = trial(10, "recycle", 0.8, seeds=(1, 2, 3, 4)), trial(11, "fixed", 0.8, per_seed=())
    assert verdict(study, [other, open_arm]) == ()


def test_in_a_study_that_went_on_the_arms_are_those_of_its_leader_now(study):
    searched = [
        trial(number, "search", score, kind="periodic", seeds=(1,), config=each.config)
        for number, score, each in ((0, 0.8, GROWN), (1, 0.9, trial(20, "finalist", 0.9)))
    ]
    leader = trial(20, "finalist", 0.95, kind="periodic")
    before, own = trial(10, "fixed", 0.6), trial(21, "fixed", 0.85)
    found = cause([*searched, GROWN, CONTROL, before, leader, own], study, CONTROL)
    assert (found.grown, [arm.trial for arm in found.arms]) == (20, [21])
    unfinished = cause([*searched, GROWN, CONTROL, before, leader], study, CONTROL)
    assert (unfinished.grown, unfinished.arms) == (20, ()), "an arm of before stood beside another network"


def test_an_arm_of_before_stays_until_it_was_trained_again_on_more_seeds(study):
    again = trial(12, "finalist", 0.90, kind="periodic", config=GROWN.config)
    other = trial(6, "finalist", 0.99, kind="nimble")
    searched = [trial(0, "search", 0.9, seeds=(1,), config=GROWN.config)]
    found = cause([*searched, GROWN, other, CONTROL, *arms(recycle=0.8), again], study, CONTROL)
    assert (found.grown, [arm.trial for arm in found.arms]) == (12, [10])


def test_facts_hold_the_words_and_every_arm(study):
    found = cause([GROWN, CONTROL, *arms(recycle=0.86, fixed=0.85)], study, CONTROL)
    facts = found.facts()
    assert [arm["arm"] for arm in facts["arms"]] == ["fixed", "recycle"]
    assert facts["words"] == list(found.lines())
    assert facts["arms"][1]["comparisons"][0]["difference"]["mean"] == pytest.approx(0.04)


def test_the_arms_stand_beside_the_best_that_changed():
    fixed = replace(GROWN, number=1, kind="static")
    assert grown_leader([fixed, GROWN, replace(GROWN, number=9)]) == GROWN
    assert grown_leader([fixed]) is None
