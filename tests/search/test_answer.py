from dataclasses import replace

import pytest

from neurosearch.search.answer import answered, unanswered
from neurosearch.search.seams import TrialSummary

SEEDS = (11, 12, 13)
BASE = TrialSummary(
    number=0,
    role="search",
    kind="periodic",
    state="finished",
    values=(),
    per_seed=(),
    seeds=SEEDS,
    params={},
    config={},
    metrics={},
    epochs=4,
    seconds=1.0,
    reason=None,
    run_id=None,
    started=0.0,
    ended=1.0,
)


def trial(number, role, scores, **changed):
    per_seed = tuple({"balanced_accuracy": score} for score in scores)
    mean = sum(scores) / len(scores)
    config = {"model": number}
    return replace(
        BASE, **{"number": number, "role": role, "values": (mean,), "per_seed": per_seed, "config": config, **changed}
    )


FINALIST = trial(5, "finalist", (0.90, 0.91, 0.92))
OTHER = trial(6, "finalist", (0.80, 0.81, 0.82))
CONTROL = trial(7, "control", (0.85, 0.87, 0.86), kind="static")


@pytest.fixture(scope="module")
def study(make_config):
    return make_config().study


def test_the_better_finalist_stands_beside_the_control(study):
    found = answered([OTHER, FINALIST, CONTROL], study)
    assert (found.searched, found.control, found.fixed_winner) == (5, 7, False)
    (comparison,) = found.comparisons
    assert comparison.difference.mean == pytest.approx(0.05)
    assert comparison.answer == "helped"
    assert found.lines()[0].startswith("Changing neurons helped: balanced_accuracy +.050 (95 % interval")
    assert found.facts()["words"] == list(found.lines())


def test_a_control_that_wins_is_a_fixed_winner(study):
    found = answered([OTHER, CONTROL], study)
    assert found.fixed_winner
    assert found.lines()[0] == "The winner is itself a fixed network: changing neurons did not help here."


def test_so_is_a_finalist_whose_neurons_never_changed(study):
    found = answered([replace(FINALIST, kind="static"), CONTROL], study)
    assert found.fixed_winner
    assert found.lines()[0] == (
        "The winner is a fixed network, and none whose neurons changed stands beside it: whether changing neurons "
        "helps was not tested."
    )
    assert found.lines()[1].startswith("The best of the search has balanced_accuracy +.050")


def test_beside_a_fixed_finalist_a_changing_one_stands_for_the_search(study):
    fixed = trial(8, "finalist", (0.95, 0.96, 0.97), kind="static")
    found = answered([fixed, OTHER, FINALIST, CONTROL], study)
    assert (found.searched, found.fixed_winner) == (5, True)
    assert found.lines()[1].startswith("The best network whose neurons changed has balanced_accuracy +.050")


def test_finalists_that_never_changed_answer_nothing_about_changing_neurons(study):
    grown = replace(FINALIST, role="search", number=1, seeds=(1,), per_seed=FINALIST.per_seed[:1])
    fixed = replace(FINALIST, kind="static")
    assert unanswered([grown, fixed, CONTROL], study) == (
        "Whether changing neurons helped was not tested: no finalist whose neurons changed stands beside a control "
        "within the limits. search.finalists of 2 or more sends a network whose neurons changed into the final, too."
    )
    assert unanswered([grown, fixed, FINALIST, CONTROL], study) is None
    assert unanswered([fixed, CONTROL], study) is None, "where none changes there is no question"


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [FINALIST],
        [CONTROL],
        [replace(FINALIST, role="search"), CONTROL],
        [FINALIST, replace(CONTROL, seeds=(1, 2, 3))],
        [FINALIST, replace(CONTROL, state="infeasible")],
    ],
    ids=["nothing", "no control", "no finalist", "own seeds", "other seeds", "infeasible"],
)
def test_without_two_trials_on_the_same_fresh_seeds_nothing_can_tell(study, trials):
    assert answered(trials, study) is None


def test_the_test_part_stands_beside_the_answer(study):
    searched, control = (
        {seed: {"test/balanced_accuracy": score} for seed, score in zip(SEEDS, scores, strict=True)}
        for scores in ((0.8, 0.7, 0.9), (0.9, 0.9, 0.9))
    )
    found = answered([FINALIST, CONTROL], study).with_test(searched, control)
    (comparison,) = found.on_test
    assert comparison.difference.mean == pytest.approx(-0.1)
    assert found.lines()[-1].startswith(
        "On the test part, which chose nothing: test/balanced_accuracy -.10 (95 % interval"
    )
    assert found.facts()["on_test"][0]["metric"] == "test/balanced_accuracy"


def test_sizes_are_not_tested(make_config):
    objectives = [{"metric": "parameters", "direction": "minimize"}]
    study = make_config(**{"search.objectives": objectives}).study
    sized = [replace(each, per_seed=({"parameters": 9.0},) * 3) for each in (FINALIST, CONTROL)]
    on_test = {seed: {"test/accuracy": 0.5} for seed in SEEDS}
    found = answered(sized, study).with_test(on_test, on_test)
    assert found.on_test == ()


MORE = (*SEEDS, 14, 15)


def test_what_was_trained_again_on_more_seeds_is_compared_on_those(study):
    again = trial(8, "finalist", (0.90, 0.91, 0.92, 0.80, 0.82), seeds=MORE, config=FINALIST.config)
    control = trial(9, "control", (0.85, 0.87, 0.86, 0.84, 0.85), kind="static", seeds=MORE, config=CONTROL.config)
    found = answered([FINALIST, CONTROL, again, control], study)
    assert (found.searched, found.control, found.seeds) == (8, 9, MORE)
    assert found.comparisons[0].difference.num_seeds == 5
    assert found.facts()["seeds"] == list(MORE)
    assert not any("that both have" in line for line in found.lines())


def test_a_finalist_and_a_control_with_other_numbers_of_seeds_are_compared_on_those_that_both_have(study):
    again = trial(8, "finalist", (0.90, 0.91, 0.92, 0.10, 0.10), seeds=MORE, config=FINALIST.config)
    found = answered([FINALIST, CONTROL, again], study)
    assert (found.searched, found.control, found.seeds, found.fixed_winner) == (8, 7, SEEDS, False)
    assert found.comparisons[0].difference.mean == pytest.approx(0.05)
    assert (
        "Trial 8 has 5 fresh seeds and the control, trial 7, 3: they are compared on the 3 that both have."
        in found.lines()
    )
    on_test = {seed: {"test/balanced_accuracy": 0.5 + seed} for seed in MORE}
    (tested,) = found.with_test(on_test, {seed: on_test[seed] for seed in SEEDS}).on_test
    assert (tested.difference.num_seeds, tested.difference.mean) == (3, 0.0)


def test_of_several_controls_the_one_with_more_of_the_seeds_comes_first(study):
    again = trial(8, "finalist", (0.90, 0.91, 0.92, 0.80, 0.82), seeds=MORE, config=FINALIST.config)
    other = trial(9, "control", (0.80,) * 5, kind="static", seeds=MORE)
    assert answered([CONTROL, again, other], study).control == 9


def test_a_network_that_was_trained_again_on_fewer_seeds_stands_by_those_it_has(study):
    again = trial(8, "finalist", (0.99,), seeds=SEEDS[:1], config=FINALIST.config)
    assert answered([FINALIST, CONTROL, again], study).searched == 5


def test_a_control_on_the_seeds_of_the_search_is_no_evidence(study):
    searched = trial(0, "search", (0.9, 0.9, 0.9))
    assert answered([searched, FINALIST, CONTROL], study) is None


def test_what_was_not_tested_is_said_with_what_would_test_it(make_config):
    searched, fixed = trial(0, "search", (0.9,), seeds=(1,)), trial(1, "finalist", (0.9, 0.9, 0.9), kind="static")
    study, without_final, without_control = (
        make_config(**changes).study for changes in ({}, {"search.finalists": 0}, {"search.control": False})
    )
    assert "search.finalists of 2 or more" in unanswered([searched, fixed], study)
    assert "Give search.finalists: 2" in unanswered([searched], without_final)
    assert unanswered([searched, FINALIST, CONTROL], study) is None
    assert unanswered([searched, fixed], without_control) is None
    assert unanswered([replace(searched, kind="static"), fixed], study) is None
