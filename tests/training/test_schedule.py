from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.training.schedule import learning_rate_factor
from neurosearch.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=200,
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=2e-4,
    schedule="step",
    drops=(0.8, 0.9),
    drop_factor=0.01,
    warmup_epochs=5,
    checkpoint_every_epochs=1,
    importance_examples=8,
    decorrelation=0.0,
    amp=False,
    channels_last=False,
    compiled=False,
    measure_latency=False,
    seed=0,
)


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, 0.2), (3, 0.8), (4, 1.0), (5, 1.0), (159, 1.0), (160, 0.01), (179, 0.01), (180, 1e-4)]
)
def test_the_long_tail_recipe_warms_up_and_drops_twice(epoch, factor):
    assert learning_rate_factor(SETTINGS, epoch) == pytest.approx(factor)


def test_a_drop_on_a_whole_epoch_comes_before_it():
    settings = replace(SETTINGS, epochs=100, drops=(0.55,), warmup_epochs=0)  # 0.55 * 100 is 55.00000000000001
    assert [learning_rate_factor(settings, epoch) for epoch in (54, 55)] == [1.0, 0.01]


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (50, 0.853553), (100, 0.5), (150, 0.146447)])
def test_cosine_falls_from_one_over_the_epochs(epoch, factor):
    settings = replace(SETTINGS, schedule="cosine", warmup_epochs=0)
    assert learning_rate_factor(settings, epoch) == pytest.approx(factor, abs=1e-6)


@given(epochs=st.integers(1, 300), warmup=st.integers(0, 299), schedule=st.sampled_from(["constant", "cosine", "step"]))
def test_the_factor_stays_in_zero_to_one_and_never_rises_after_warm_up(epochs, warmup, schedule):
    settings = replace(SETTINGS, epochs=epochs, warmup_epochs=min(warmup, epochs - 1), schedule=schedule)
    factors = [learning_rate_factor(settings, epoch) for epoch in range(epochs)]
    assert all(0 < factor <= 1 for factor in factors)
    after = factors[settings.warmup_epochs :]
    assert after == sorted(after, reverse=True)


def test_constant_is_one_from_the_first_epoch():
    settings = replace(SETTINGS, schedule="constant", warmup_epochs=0)
    assert {learning_rate_factor(settings, epoch) for epoch in range(200)} == {1.0}


def test_the_learning_rates_are_those_of_the_public_code():
    # LDAM-DRW's adjust_learning_rate, epochs counted from 0.
    published = {0: 0.02, 1: 0.04, 4: 0.1, 5: 0.1, 159: 0.1, 160: 0.001, 179: 0.001, 180: 1e-5, 199: 1e-5}
    found = {epoch: SETTINGS.learning_rate * learning_rate_factor(SETTINGS, epoch) for epoch in published}
    assert found == pytest.approx(published, rel=1e-12)
