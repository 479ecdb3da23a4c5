from pathlib import Path

import pytest

from neurosearch.report.material import material_of
from neurosearch.report.numbers import amount, change_words, mean_words, value_words
from neurosearch.report.seeds import seeds_section
from neurosearch.search.statistics import Estimate
from tests.made_studies import MadeStudy, config_with


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.87123, ".871"),
        ("validation_loss", 0.00041, ".00041"),
        ("validation_loss", 0.0, "0"),
        ("rmse", 1234.56, "1,234.6"),
        ("latency_seconds", 0.000412, ".412 ms"),
        ("latency_seconds", 0.0123, "12.3 ms"),
        ("parameters", 5998.0, "5,998"),
        ("accuracy", None, "-"),
        ("validation_loss", float("inf"), "-"),
    ],
)
def test_a_value_shows_its_digits_whatever_its_scale(metric: str, value: float | None, text: str) -> None:
    assert value_words(metric, value) == text


def test_a_mean_shows_its_interval_with_the_same_decimals() -> None:
    assert mean_words("latency_seconds", Estimate(4.1e-4, 4.05e-4, 4.15e-4, 5)) == ".410 (.405 to .415) ms"
    assert mean_words("accuracy", Estimate(0.87, 0.8697, 0.8703, 5)) == ".8700 (.8697 to .8703)"
    assert mean_words("accuracy", Estimate(0.87, None, None, 1)) == ".870"
    assert mean_words("neurons", Estimate(64.0, 64.0, 64.0, 5)) == "64"


def test_a_difference_is_written_with_its_sign_and_is_never_nothing_where_it_is_something() -> None:
    assert change_words("latency_seconds", Estimate(-2e-6, -3e-6, -1e-6, 5)) == ("-.00200 ms", "-.00300 to -.00100 ms")
    assert change_words("validation_loss", Estimate(0.0002, None, None, 1)) == ("+.00020", "")
    assert change_words("rmse", Estimate(float("nan"), None, None, 5)) == ("-", "")
    assert change_words("parameters", Estimate(-1100.0, -1200.0, -1000.0, 5)) == ("-1,100", "-1,200 to -1,000")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (999.0, "999"), (999.6, "1 k"), (999_400.0, "999 k"), (999_600.0, "1 M"), (4.04e18, "4.04 E")],
)
def test_a_large_number_has_three_digits_and_its_unit(value: float, text: str) -> None:
    assert amount(value) == text


def test_seeds_tell_a_latency_in_milliseconds(tmp_path: Path) -> None:
    objectives = [
        {"metric": "balanced_accuracy", "direction": "maximize"},
        {"metric": "latency_seconds", "direction": "minimize"},
    ]
    values = config_with(**{"search.trials": 4, "search.objectives": objectives, "training.measure_latency": True})
    page = seeds_section(material_of(MadeStudy(tmp_path, values).search(4).confirm().done())).html()
    row = page.split("<td>latency seconds</td>")[1]
    assert row.count(" ms</td>") >= 2, row[:200]
    assert not row.startswith("<td>0</td>")
