import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.publishing import study_page
from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import StoredStudy


def page(root: Path) -> Any:
    return study_page(StoredStudy(StudyFolder(root, "tiny")))


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_study_tells_its_best_trial_its_front_and_every_trial(finished: Path) -> None:
    found, best = page(finished), StoredStudy(StudyFolder(finished, "tiny")).best()
    assert best is not None
    assert found.tags == {"neurosearch.best_trial": str(best.number)}
    assert found.metrics["best/balanced_accuracy"] == best.value
    assert found.metrics["best/parameters"] == best.metrics["parameters"]
    assert found.note.startswith("**tiny** searches by balanced_accuracy. Models: mlp; growth: static; data: digits; ")
    assert f"- best: trial {best.number}, static, balanced_accuracy" in found.note
    trials = table(found.files["trials.csv"])
    assert [row["trial"] for row in trials] == ["0", "1", "2"]
    assert {row["state"] for row in trials} == {"finished", "infeasible"}
    assert json.loads(trials[0]["model.widths"]) in ([8], [12], [64])
    (front,) = table(found.files["front.csv"])
    assert (front["trial"], float(front["balanced_accuracy"])) == (str(best.number), pytest.approx(best.value))


def test_a_study_without_a_finished_trial_says_so(start: Callable[..., Any], tmp_path: Path) -> None:
    start(tmp_path).close()
    found = page(tmp_path)
    assert (found.tags, found.metrics) == ({}, {})
    assert "best: nothing feasible yet" in found.note
    assert table(found.files["trials.csv"]) == table(found.files["front.csv"]) == []


def test_the_same_study_has_the_same_page(finished: Path) -> None:
    assert page(finished).digest == page(finished).digest
