from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.mlflow_sync import study_store, sync_study
from neurosearch.search.stored import StoredStudy
from neurosearch.tracking.store import connect
from tests.made_studies import MadeStudy, config_with

TypeIn = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    root = tmp_path_factory.mktemp("runs")
    values = config_with(**{"search.trials": 3, "tracking": {"enabled": True}})
    return MadeStudy(root, values).search(3).confirm().done()


def test_the_page_lies_where_it_is_wanted(type_in: TypeIn, made: StoredStudy, tmp_path: Path) -> None:
    facts = type_in("report", "made", "--folder", made.folder.root, "--out", tmp_path / "a.html", "--json").facts
    assert facts["path"] == str(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert 4 < facts["megabytes"] < 8


def test_what_mlflow_does_not_know_yet_is_said_with_what_to_type(type_in: TypeIn, made: StoredStudy) -> None:
    done = type_in("report", "made", "--folder", made.folder.root)
    assert done.code == 0
    assert "MLflow does not know the study yet" in done.out
    assert (made.folder.path / "report.html").exists()


def test_the_page_is_an_artifact_of_the_study_s_run(type_in: TypeIn, made: StoredStudy) -> None:
    sync_study(made, running=False)
    run_id = made.info.run_id
    done = type_in("report", "made", "--folder", made.folder.root)
    assert f"an artifact of run {run_id}" in done.out
    artifacts = connect(study_store(made)).list_artifacts(run_id, "report")
    assert [each.path for each in artifacts] == ["report/report.html"]


def test_a_folder_is_no_file(type_in: TypeIn, made: StoredStudy, tmp_path: Path) -> None:
    done = type_in("report", "made", "--folder", made.folder.root, "--out", tmp_path)
    assert (done.code, "Name a file in it" in done.err) == (2, True)


def test_a_study_that_is_not_there_has_no_page(type_in: TypeIn, made: StoredStudy) -> None:
    done = type_in("report", "other", "--folder", made.folder.root)
    assert (done.code, "there is no study 'other'" in done.err) == (2, True)
