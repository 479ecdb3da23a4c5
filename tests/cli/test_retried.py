"""What a RayJob makes a whole new cluster for, and what not."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, OK, WRONG, CommandError, Report
from neurosearch.cli.retried import worth_another_start
from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.load import StudyConfig
from neurosearch.config.yaml_source import to_yaml


def ending(result: Report | Exception) -> Report:
    def search() -> Report:
        if isinstance(result, Exception):
            raise result
        return result

    return worth_another_start(search, {"config": "study.yaml"})


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (ConfigError((Problem("study.yaml:1", "name", "is taken."),)), WRONG),
        (CommandError("the password is wrong."), WRONG),
        (Report({}, ("nothing feasible",), code=NOTHING_FEASIBLE), NOTHING_FEASIBLE),
    ],
)
def test_what_a_new_cluster_would_meet_again_ends_well_and_says_so_last(result: Report | Exception, code: int) -> None:
    report = ending(result)
    assert report.code == OK
    assert report.lines[-1].startswith(f"ended for good, code {code} told as 0: ")
    assert report.lines[-1].endswith("It is not started again.")
    assert len(report.lines) > 1
    assert report.next == ()


@pytest.mark.parametrize("result", [RuntimeError("boom"), CommandError("the disk is full.", code=FAILED)])
def test_what_another_start_may_mend_fails(result: Exception) -> None:
    assert ending(result).code == FAILED


def test_a_search_that_ended_well_is_told_as_it_is() -> None:
    report = Report({"ok": True}, ("done",))
    assert ending(report) is report


@pytest.mark.parametrize(
    "storage",
    [
        {"database": "postgresql://a@ADDRESS/studies"},
        {"artifacts": "s3://studies", "s3": {"endpoint": "http://ADDRESS", "cache_folder": "CACHE", "tries": 1}},
    ],
)
def test_a_storage_that_is_away_is_worth_another_start(
    tiny: Callable[..., StudyConfig],
    type_in: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    storage: dict[str, Any],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tiger")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    text = json.dumps(storage).replace("ADDRESS", address).replace("CACHE", str(tmp_path / "cache"))
    study = tiny(storage={"folder": str(tmp_path / "runs"), **json.loads(text)})
    (tmp_path / "study.yaml").write_text(to_yaml(study.to_mapping()))
    typed = type_in("search", "study.yaml", "--resume", "--retried")
    assert typed.code != OK
    assert "ended for good" not in typed.out


def test_a_search_of_a_wrong_config_ends_well_only_where_it_is_retried(
    type_in: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text("name: a\n")
    assert type_in("search", "study.yaml", "--resume").code == WRONG
    typed = type_in("search", "study.yaml", "--resume", "--retried")
    assert typed.code == OK
    assert typed.out.splitlines()[-1].startswith("ended for good, code 2 told as 0")
