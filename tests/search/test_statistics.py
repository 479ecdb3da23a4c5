import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neurosearch.search.statistics import (
    Estimate,
    compare,
    difference_words,
    estimate,
    estimate_words,
    holm,
    paired,
    sign_flip,
    welch,
    words,
)

WINNER = (0.812, 0.835, 0.821, 0.842, 0.828)
CONTROL = (0.801, 0.804, 0.805, 0.819, 0.804)
values = st.lists(st.integers(-20, 20).map(lambda value: value / 8), min_size=2, max_size=9)


@given(values)
def test_an_interval_is_students(numbers):
    found = estimate(numbers)
    assert found.mean == pytest.approx(np.mean(numbers))
    if len(set(numbers)) > 1:
        low, high = stats.t.interval(0.95, len(numbers) - 1, loc=np.mean(numbers), scale=stats.sem(numbers))
        assert (found.low, found.high) == pytest.approx((low, high))
    else:
        assert found.low == found.mean == found.high


def test_one_value_has_no_interval():
    assert estimate([0.5]) == Estimate(0.5, None, None, 1)


@given(values)
def test_p_is_that_of_the_paired_t_test(differences):
    if len(set(differences)) > 1:
        found, p = paired("accuracy", differences)
        assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
        assert found == estimate(differences)


def test_equal_differences_of_sizes_leave_no_doubt():
    assert paired("parameters", [0.0, 0.0, 0.0]) == (Estimate(0.0, 0.0, 0.0, 3), 1)
    assert paired("parameters", [8.0, 8.0, 8.0]) == (Estimate(8.0, 8.0, 8.0, 3), 0)
    assert paired("parameters", [8.0]) == (Estimate(8.0, None, None, 1), None)


@pytest.mark.parametrize(("seeds", "answer"), [(3, "unclear"), (5, "unclear"), (6, "helped")])
def test_equal_differences_of_scores_are_as_clear_as_the_sign_flips_say(seeds, answer):
    ours, theirs = [0.21, 0.91, 0.71, 0.61, 0.85, 0.75], [0.20, 0.90, 0.70, 0.60, 0.84, 0.74]  # differ by rounding
    assert len({one - other for one, other in zip(ours, theirs, strict=True)}) > 1
    found = compare("accuracy", "maximize", ours[:seeds], theirs[:seeds])
    assert (found.difference.low, found.difference.high) == (None, None)
    assert found.p == found.p_sign_flip == 2 / 2**seeds
    assert found.answer == answer
    (sentence, *_) = words([found], fixed_winner=False, subject="It")
    assert f"accuracy +.010 (the same on all {seeds} seeds, p = " in sentence


@given(values)
def test_the_sign_flip_test_counts_every_pattern(differences):
    expected = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    # scipy counts the smaller tail twice, and takes no more than 1; by symmetry that is the share at least as large.
    assert sign_flip(differences) == pytest.approx(expected.pvalue)


def test_the_sign_flip_test_has_a_floor_and_bounds():
    assert sign_flip([0.1, 0.3, 0.2, 0.2, 0.1]) == 2 / 2**5
    assert sign_flip([0.1]) is None
    assert sign_flip([0.1] * 21) is None
    assert sign_flip([0.1] * 20) == 2 / 2**20


@given(values, values)
def test_swapping_winner_and_control_swaps_the_answer(winner, control):
    length = min(len(winner), len(control))
    there = compare("accuracy", "maximize", winner[:length], control[:length])
    back = compare("accuracy", "maximize", control[:length], winner[:length])
    assert there.difference.mean == -back.difference.mean
    assert (there.p, there.p_sign_flip) == pytest.approx((back.p, back.p_sign_flip))
    assert {there.answer, back.answer} in ({"helped", "harmed"}, {"unclear"}, {"too_few"})
    loss = compare("validation_loss", "minimize", control[:length], winner[:length])
    assert loss.answer == there.answer


@given(values, values)
def test_the_answer_is_clear_exactly_where_p_is_below_five_percent(winner, control):
    length = min(len(winner), len(control))
    found = compare("accuracy", "maximize", winner[:length], control[:length])
    if length >= 3 and not math.isclose(found.p, 0.05, rel_tol=1e-9):
        assert (found.answer == "unclear") == (found.p >= 0.05)


def test_intervals_of_normal_values_hold_the_truth_in_95_percent():
    generator = np.random.default_rng(0)
    held = 0
    for sample in generator.normal(0.7, 0.02, size=(2000, 5)):
        found = estimate(sample.tolist())
        held += found.low <= 0.7 <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_it_is_said_in_words_that_changing_neurons_helped():
    found = compare("balanced_accuracy", "maximize", WINNER, CONTROL)
    assert words([found], fixed_winner=False, subject="It") == (
        (
            "Changing neurons helped: balanced_accuracy +.0210 (95 % interval .0114 to .0306, 5 seeds, p = .0037) "
            "against the control."
        ),
    )
    assert found.p_sign_flip == 2 / 2**5


def test_it_is_said_in_words_that_changing_neurons_harmed():
    found = compare("validation_loss", "minimize", (0.9, 0.8, 1.0), (0.5, 0.45, 0.6))
    assert words([found], fixed_winner=False, subject="It") == (
        (
            "Changing neurons harmed: validation_loss +.383 (95 % interval .312 to .455, 3 seeds, p = .0019) "
            "against the control."
        ),
    )


def test_it_is_said_in_words_that_the_difference_is_not_clear():
    found = compare("accuracy", "maximize", (0.81, 0.79, 0.8, 0.84), (0.8, 0.8, 0.8, 0.8))
    first, second = words([found], fixed_winner=False, subject="It")
    assert first.startswith(
        "No clear difference between changing and fixed neurons: accuracy +.010 (95 % interval -.024"
    )
    assert second == "More fresh_seeds would narrow the interval."


@pytest.mark.parametrize(
    ("seeds", "told"),
    [(1, "accuracy +.10 (1 seed)"), (2, "accuracy +.07 (95 % interval -.24 to .39, 2 seeds, p = .20)")],
)
def test_one_or_two_seeds_are_too_few_to_say(seeds, told):
    found = compare("accuracy", "maximize", (0.9, 0.85)[:seeds], (0.8, 0.8)[:seeds])
    first, _ = words([found], fixed_winner=False, subject="It")
    assert first == f"Too few seeds to say whether changing neurons helped: {told} against the control."
    assert found.answer == "too_few"


def test_a_winner_that_is_itself_a_fixed_network_is_told_first():
    found = compare("accuracy", "maximize", WINNER, CONTROL)
    first, second = words([found], fixed_winner=True, subject="It")
    assert first == "The winner is itself a fixed network: changing neurons did not help here."
    assert second.startswith("It has accuracy +.0210 (95 % interval .0114 to .0306, 5 seeds")


def test_too_few_seeds_say_nothing_about_a_fixed_winner_either():
    found = compare("accuracy", "maximize", (0.80, 0.80), (0.90, 0.85))
    first, second = words([found], fixed_winner=True, subject="It")
    assert first == "The winner is itself a fixed network, on too few seeds to say whether changing neurons helped."
    assert second.startswith("It has accuracy")


def test_each_objective_has_a_sentence():
    found = [
        compare("accuracy", "maximize", WINNER, CONTROL),
        compare("parameters", "minimize", (900.0,) * 5, (2000.0,) * 5),
    ]
    lines = words(found, fixed_winner=False, subject="It")
    assert len(lines) == 2
    assert "parameters -1,100 (95 % interval -1,100 to -1,100, 5 seeds, p < .001)" in lines[1]


def test_a_latency_is_told_in_milliseconds():
    found = compare("latency_seconds", "minimize", (4.1e-5, 4.2e-5, 4.0e-5), (5.2e-5, 5.1e-5, 5.0e-5))
    assert difference_words(found) == "-.0100 ms (95 % interval -.0125 to -.0075 ms, 3 seeds, p = .0033)"
    assert estimate_words(found.metric, found.winner) == ".0410 ms (95 % interval .0385 to .0435 ms)"


def test_facts_are_plain():
    found = compare("accuracy", "maximize", WINNER, CONTROL).facts()
    assert found["answer"] == "helped"
    assert found["difference"]["num_seeds"] == 5
    assert set(found) == {"metric", "direction", "winner", "control", "difference", "p", "p_sign_flip", "answer"}


@given(values, values)
def test_values_that_are_no_pairs_are_compared_as_welch_does(ours, theirs):
    found, p = welch("accuracy", ours, theirs)
    assert found.mean == pytest.approx(np.mean(ours) - np.mean(theirs))
    if len(set(ours)) > 1 and len(set(theirs)) > 1:  # scipy warns of constants
        expected = stats.ttest_ind(ours, theirs, equal_var=False)
        interval = expected.confidence_interval(0.95)
        assert p == pytest.approx(expected.pvalue)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_constant_sizes_that_are_no_pairs_leave_no_doubt_and_single_values_no_answer():
    assert welch("neurons", [1.0, 1.0], [1.0, 1.0]) == (Estimate(0.0, 0.0, 0.0, 2), 1.0)
    assert welch("neurons", [2.0, 2.0], [1.0, 1.0]) == (Estimate(1.0, 1.0, 1.0, 2), 0.0)
    assert welch("neurons", [2.0], [1.0, 1.0]) == (Estimate(1.0, None, None, 1), None)


def test_constant_scores_that_are_no_pairs_are_not_tested():
    assert welch("accuracy", [1.0, 1.0], [0.5, 0.5]) == (Estimate(0.5, None, None, 2), None)


@pytest.mark.parametrize("broken", [[math.inf] * 3, [math.nan, 0.1, 0.2], [math.inf, -math.inf, 0.1]])
def test_what_is_no_number_on_some_seed_is_unknown_and_no_answer(broken):
    found = compare("test/rmse", "minimize", broken, [0.1, math.inf, 0.3])
    assert (found.p, found.p_sign_flip, found.answer, found.winner.low) == (None, None, "unclear", None)
    assert difference_words(found) == "unknown (not a finite number on every seed)"
    assert estimate_words("test/rmse", found.winner) == "nan"
    difference, p = welch("test/rmse", broken, [0.1, 0.2])
    assert math.isnan(difference.mean)
    assert p is None


def test_p_values_are_corrected_step_by_step():
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx((0.03, 0.06, 0.06, None))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()
