"""What is measured of a pack is judged with what compiling costs; measuring itself is tried in `test_together`."""

import pytest

from neurosearch.search.pack_choice import _Alone, _judged


@pytest.mark.parametrize(("num_steps", "together"), [(100, False), (100_000, True)])
def test_compiling_a_pack_is_worth_it_where_many_steps_are_left(num_steps, together):
    apart = [_Alone(0.02, 0.0, num_steps)] * 16  # a millisecond each of 20 steps
    choice = _judged(0.032, 10.0, apart, 16 * 20)
    assert choice["together"] is together
    assert choice["packed_seconds"] == pytest.approx(1e-4 + 10.0 / (16 * num_steps))
    assert choice["alone_seconds"] == pytest.approx(1e-3)
    assert choice["compile_seconds"] == 10.0


def test_a_trial_alone_has_its_own_seconds_of_compiling():
    apart = [_Alone(0.02, 5.0, 1000)] * 4
    assert _judged(0.08, 0.0, apart, 4 * 20)["alone_seconds"] == pytest.approx(1e-3 + 5.0 / 1000)
