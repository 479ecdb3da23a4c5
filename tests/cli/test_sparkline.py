import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.cli.sparkline import BARS, PLAIN_BARS, sparkline

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=30)


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 5, ""),
        ([1.0], 0, ""),
        ([1.0], 5, "▄"),
        ([2.0, 2.0], 5, "▄▄"),
        ([0.0, 1.0], 5, "▁█"),
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 8, "█▇▆▅▄▃▂▁"),
        ([0.0, 0.0, 1.0, 1.0], 2, "▁█"),
        ([0.0, 1.0, 2.0, 3.0, 4.0], 2, "▁█"),
    ],
)
def test_values_become_bars(values: list[float], width: int, drawn: str) -> None:
    assert sparkline(values, width) == drawn


@settings(deadline=None)
@given(VALUES, st.integers(0, 20))
def test_there_are_as_many_bars_as_values_but_no_more_than_fit(values: list[float], width: int) -> None:
    line = sparkline(values, width, PLAIN_BARS)
    assert len(line) == min(len(values), width)
    assert set(line) <= set(PLAIN_BARS)


@settings(deadline=None)
@given(VALUES)
def test_a_larger_value_never_has_a_lower_bar(values: list[float]) -> None:
    heights = [BARS.index(bar) for bar in sparkline(values, len(values))]
    by_value = [height for _, height in sorted(zip(values, heights, strict=True))]
    assert by_value == sorted(by_value)
