import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neurosearch.search.racing import LEVEL, Spread, clearly_worse, race, spread_of

ACCURACY = (("balanced_accuracy",), ("maximize",))
BOTH = (("balanced_accuracy", "parameters"), ("maximize", "minimize"))


def column(values):
    return [(float(value),) for value in values]


def test_without_a_spread_two_seeds_are_judged_by_the_paired_t_test():
    own, rival = [0.5, 0.52, 0.49], [0.6, 0.61, 0.60]
    p = stats.ttest_rel(own, rival, alternative="less").pvalue
    assert clearly_worse(own, rival, "maximize", None, p * 1.001)
    assert not clearly_worse(own, rival, "maximize", None, p * 0.999)
    assert clearly_worse(rival, own, "minimize", None, p * 1.001)


def test_one_seed_tells_only_beside_the_spread_of_others():
    assert not clearly_worse([0.1], [0.9], "maximize", None, LEVEL)
    assert clearly_worse([0.1], [0.9], "maximize", Spread(0.01, 10), LEVEL)
    assert not clearly_worse([0.8], [0.9], "maximize", Spread(0.01, 10), LEVEL)


def test_a_spread_is_never_taken_to_be_smaller_than_what_the_differences_show():
    assert not clearly_worse([0.2, 0.6], [0.9, 0.65], "maximize", Spread(1e-6, 100), LEVEL)


def test_two_scores_that_differ_equally_by_chance_stop_nothing():
    assert not clearly_worse([0.5, 0.5], [0.503, 0.503], "maximize", None, LEVEL)
    assert clearly_worse([900.0], [800.0], "minimize", Spread(0.0, 8), LEVEL)


def test_the_spread_of_differences_leaves_out_what_configurations_and_seeds_have_in_common():
    generator = np.random.default_rng(0)
    table = generator.normal(size=(300, 1)) + generator.normal(size=(1, 4)) + generator.normal(0, 0.1, size=(300, 4))
    spread = spread_of(table.tolist())
    assert spread.degrees == 299 * 3
    assert spread.variance == pytest.approx(2 * 0.1**2, rel=0.1)


@pytest.mark.parametrize("shape", [(0,), (1, 5), (9, 1), (2, 4)])
def test_few_configurations_tell_no_spread(shape):
    assert spread_of(np.zeros(shape).tolist()) is None


def raced(generator, *, gap, num_seeds=5, num_others=6):
    """Return after how many seeds a configuration worse by `gap` stops, beside a rival that was fixed beforehand.

    Seeds shift all configurations alike; the other configurations are far behind, so that the rival is the best.
    """
    common = generator.normal(0, 0.03, size=num_seeds)
    noise = generator.normal(0, 0.01, size=(num_others + 2, num_seeds))
    level = [0.8 - gap, 0.8, *[0.6] * num_others]
    own, *others = (np.array(level)[:, None] + common + noise).tolist()
    for seeds in range(1, num_seeds):
        if race(*ACCURACY, num_seeds, column(own[:seeds]), [column(other) for other in others]).stop:
            return seeds
    return num_seeds


@pytest.mark.parametrize(("num_seeds", "num_others"), [(5, 6), (3, 0), (3, 3), (2, 5)])
def test_an_equal_configuration_is_wrongly_stopped_in_at_most_five_percent(num_seeds, num_others):
    generator = np.random.default_rng(num_seeds)
    stops = [raced(generator, gap=0.0, num_seeds=num_seeds, num_others=num_others) < num_seeds for _ in range(1500)]
    assert np.mean(stops) <= LEVEL


def test_a_clearly_worse_configuration_stops_within_two_seeds_in_most_cases():
    generator = np.random.default_rng(0)
    stops = [raced(generator, gap=0.05) <= 2 for _ in range(300)]
    assert np.mean(stops) > 0.8


def test_without_others_a_clearly_worse_configuration_still_stops_early():
    generator = np.random.default_rng(0)
    stops = [raced(generator, gap=0.1, num_others=0) < 5 for _ in range(300)]
    assert np.mean(stops) > 0.8


def test_nothing_is_raced_on_one_seed_alone_after_the_last_or_without_a_rival():
    others = [column([0.9] * 3)] * 5
    assert not race(*ACCURACY, 1, column([0.1]), [column([0.9])]).stop
    assert not race(*ACCURACY, 3, column([0.1] * 3), others).stop
    assert not race(*ACCURACY, 3, column([0.1]), []).stop
    assert not race(*ACCURACY, 3, column([0.1]), [column([0.9, 0.9])]).stop


def test_a_stop_is_told_in_words():
    others = [column(each) for each in ([0.90, 0.91, 0.90], [0.80, 0.82, 0.81], [0.70, 0.71, 0.70])]
    found = race(*ACCURACY, 3, column([0.5]), others)
    assert found.stop
    assert (
        found.reason == "stopped after seed 1 of 3: clearly worse on the same seeds, balanced_accuracy 0.5 against 0.9"
    )
    assert race(*ACCURACY, 3, column([0.9]), others).reason == "goes on after seed 1 of 3"


def both(scores, size):
    return [(score, size) for score in scores]


def test_with_several_objectives_only_one_that_is_worse_in_all_stops():
    others = [
        both([0.90, 0.91, 0.90], 900.0),
        both([0.80, 0.82, 0.81], 500.0),
        both([0.70, 0.71, 0.70], 950.0),
        both([0.60, 0.61, 0.60], 990.0),
    ]
    assert race(*BOTH, 3, both([0.5], 950.0), others).stop
    assert race(*BOTH, 3, both([0.5], 900.0), others).stop
    assert not race(*BOTH, 3, both([0.5], 400.0), others).stop
    assert not race(*BOTH, 3, both([0.85], 600.0), others).stop


@given(st.permutations(range(5)))
def test_the_order_of_the_others_does_not_matter(order):
    generator = np.random.default_rng(1)
    others = [column(row) for row in generator.normal(0.7, 0.05, size=(5, 3)).tolist()]
    own = column([0.6, 0.62])
    assert race(*ACCURACY, 3, own, [others[index] for index in order]) == race(*ACCURACY, 3, own, others)
