import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from neurosearch.cli.mlflow_sync import study_store, sync_study
from neurosearch.cli.publishing import last_lines, study_page
from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import StoredStudy
from neurosearch.tracking.store import connect
from tests.made_studies import MadeStudy, config_with


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


def made(root: Path, tracking: dict[str, Any]) -> StoredStudy:
    values = config_with(**{"search.trials": 3, "tracking": tracking})
    return MadeStudy(root, values).search(3).confirm().done()


def test_a_report_that_mlflow_refused_is_brought_by_sync(type_in: Callable[..., Any], tmp_path: Path) -> None:
    study = made(tmp_path / "runs", {"enabled": True})
    sync_study(study, running=False)
    run_id = study.info.run_id
    assert run_id is not None
    client = connect(study_store(study))
    in_the_way = Path(unquote(urlparse(client.get_run(run_id).info.artifact_uri).path)) / "report"
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_text("a file where the report's folder belongs")

    first, second = last_lines(study)
    assert first == f"report: {study.folder.path / 'report.html'}"
    assert "does not take report" in second
    assert second.endswith(". `neurosearch sync made` writes them.")
    assert type_in("sync", "made", "--folder", study.folder.root).code == 3

    in_the_way.unlink()
    assert type_in("sync", "made", "--folder", study.folder.root, "--json").facts["files"] == 4
    assert [each.path for each in client.list_artifacts(run_id, "report")] == ["report/report.html"]
    assert type_in("sync", "made", "--folder", study.folder.root, "--json").facts["files"] == 0


@pytest.mark.parametrize(
    "tracking", [{"enabled": False}, {"uri": "http://127.0.0.1:1"}], ids=["without MLflow", "MLflow away all along"]
)
def test_the_report_lies_where_the_last_line_says(tracking: dict[str, Any], tmp_path: Path) -> None:
    study = made(tmp_path, tracking)
    (line,) = last_lines(study)
    path = Path(line.removeprefix("report: "))
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_report_that_cannot_be_written_is_nowhere_said_to_lie(tmp_path: Path) -> None:
    study = made(tmp_path, {"enabled": False})
    (study.folder.path / "report.html").mkdir()
    (line,) = last_lines(study)
    assert line.startswith("the report cannot be written: ")
    assert line.endswith(f"`neurosearch report made --folder {tmp_path}` writes it.")
