import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made_studies import MadeStudy, config_with

TypeIn = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for name, gain in (("one", 0.0), ("two", 0.08)):
        values = config_with(name=name, **{"search.trials": 5})
        MadeStudy(root, values, gain=gain).search(5).confirm().done()
    MadeStudy(root, config_with(name="empty")).done()
    return root


def test_studies_stand_side_by_side(type_in: TypeIn, runs: Path) -> None:
    done = type_in("compare", "one", "two", "--folder", runs)
    assert done.code == 0
    head = done.out.splitlines()[0].split()
    assert head == ["one", "two"]
    assert "5 fresh" in done.out
    assert "two minus one:" in done.out
    assert " paired " in done.out


def test_a_latency_is_told_in_milliseconds(type_in: TypeIn, tmp_path: Path) -> None:
    objectives = [{"metric": "latency_seconds", "direction": "minimize"}]
    for name in ("one", "two"):
        changes = {"search.trials": 3, "search.objectives": objectives, "training.measure_latency": True}
        MadeStudy(tmp_path, config_with(name=name, **changes)).search(3).confirm().done()
    told = [
        each for each in type_in("compare", "one", "two", "--folder", tmp_path).out.splitlines() if "latency" in each
    ]
    mean, difference = told
    assert mean.count(" ms") == 2
    assert " ms " in difference


def test_figures_come_as_json_and_as_csv(type_in: TypeIn, runs: Path) -> None:
    facts = type_in("compare", "one", "two", "--folder", runs, "--json").facts
    rows = list(csv.DictReader(type_in("compare", "one", "two", "--folder", runs, "--csv").out.splitlines()))
    assert len(rows) == 2 * len(facts["metrics"])
    first, second = rows[:2]
    assert (first["study"], second["study"], first["metric"]) == ("one", "two", "balanced_accuracy")
    assert (first["test"], second["test"]) == ("", "paired")
    assert float(second["difference"]) == facts["metrics"][0]["differences"][0]["mean"]["mean"]


def test_a_study_of_another_folder_is_named_with_it(type_in: TypeIn, runs: Path) -> None:
    assert type_in("compare", runs / "one", runs / "two").code == 0


def test_one_study_is_not_compared(type_in: TypeIn, runs: Path) -> None:
    done = type_in("compare", "one", "--folder", runs)
    assert (done.code, "two studies or more" in done.err) == (2, True)


def test_studies_without_networks_have_an_exit_code_of_their_own(type_in: TypeIn, runs: Path) -> None:
    done = type_in("compare", "one", "empty", "--folder", runs)
    assert done.code == 4
    assert "empty has no network within its limits yet" in done.out
