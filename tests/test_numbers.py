import pytest

from neurosearch.numbers import figure, number


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0214, 3, "+.021"),
        (-0.0214, 3, "-.021"),
        (1204.0, 0, "+1,204"),
        (0.0001, 3, "0"),
        (1.5, 1, "+1.5"),
        (10.05, 2, "+10.05"),
    ],
)
def test_numbers_are_written_without_a_zero_before_the_point(value: float, decimals: int, text: str) -> None:
    assert figure(value, decimals, signed=True) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("balanced_accuracy", 0.912345, "0.9123"),
        ("balanced_accuracy", 0.5, "0.5000"),
        ("validation_loss", 0.0000123, "0.000012"),
        ("r2", -0.25, "-0.2500"),
        ("rmse", 12345.678, "12,345.7"),
        ("parameters", 5432.0, "5,432"),
        ("latency_seconds", 0.0000342, "0.0342 ms"),
        ("latency_seconds", 0.000412345, "0.412 ms"),
        ("latency_seconds", 0.0213, "21.3 ms"),
        ("latency_seconds", 1.5, "1,500 ms"),
        ("latency_seconds", 0.0, "0 ms"),
        ("balanced_accuracy", None, "-"),
        ("validation_loss", float("nan"), "-"),
    ],
)
def test_a_metric_is_written_with_the_digits_that_say_something(metric: str, value: float | None, text: str) -> None:
    assert number(metric, value) == text
