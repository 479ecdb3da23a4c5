from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.epochs import epochs_until, epochs_within


@given(hundredths=st.integers(0, 100), epochs=st.integers(1, 2000))
def test_a_decimal_share_is_taken_for_what_is_written(hundredths, epochs):
    share, exact = hundredths / 100, Fraction(hundredths, 100) * epochs
    assert (epochs_within(share, epochs), epochs_until(share, epochs)) == (exact // 1, -(-exact // 1))


@pytest.mark.parametrize(
    ("share", "epochs", "within", "until"),
    [(0.7, 90, 63, 63), (0.55, 100, 55, 55), (0.55, 10, 5, 6), (1 / 3, 90, 30, 30)],
)
def test_what_is_no_whole_number_is_rounded_down_or_up(share, epochs, within, until):
    assert (epochs_within(share, epochs), epochs_until(share, epochs)) == (within, until)
