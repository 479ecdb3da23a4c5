"""What a RayJob makes a whole new cluster for, and what not."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, OK, WRONG, CommandError, Report
from neurosearch.cli.retried import worth_another_start
from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.load import StudyConfig
from neurosearch.config.yaml_source import to_yaml
from neurosearch.search.errors import SearchedAlready

S3 = {"endpoint": "http://ADDRESS", "cache_folder": "CACHE", "tries": 1}


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


@pytest.mark.parametrize(
    "result",
    [RuntimeError("boom"), CommandError("the disk is full.", code=FAILED), SearchedAlready("by another.")],
)
def test_what_another_start_may_mend_fails(result: Exception) -> None:
    assert ending(result).code == FAILED


def test_a_search_that_ended_well_is_told_as_it_is() -> None:
    report = Report({"ok": True}, ("done",))
    assert ending(report) is report


@pytest.mark.parametrize(
    "sections",
    [
        {"storage": {"database": "postgresql://a@ADDRESS/studies"}},
        {"storage": {"artifacts": "s3://studies", "s3": S3}},
        {"data": {"kind": "npz", "path": "s3://arrays/x.npz", "s3": S3}},
    ],
    ids=["database", "bucket", "data"],
)
def test_a_server_that_is_away_is_worth_another_start(
    tiny: Callable[..., StudyConfig],
    type_in: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sections: dict[str, Any],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tiger")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    found = json.loads(json.dumps(sections).replace("ADDRESS", address).replace("CACHE", str(tmp_path / "cache")))
    storage = {"folder": str(tmp_path / "runs"), **found.pop("storage", {})}
    (tmp_path / "study.yaml").write_text(to_yaml(tiny(storage=storage, **found).to_mapping()))
    checked = () if "database" in storage else (("check", "study.yaml", "--data"),)  # a database is asked for a while
    for words in (("search", "study.yaml", "--resume", "--retried"), *checked):
        typed = type_in(*words)
        assert typed.code == FAILED, typed.err
        assert address in typed.err
        assert "ended for good" not in typed.out


def test_an_answer_that_it_cannot_now_is_worth_another_start_and_one_that_there_is_nothing_is_not(
    tiny: Callable[..., StudyConfig], type_in: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tiger")
    for status, code, words in (
        (503, FAILED, "cannot answer for s3://arrays/x.npz now"),
        (429, FAILED, "cannot answer for s3://arrays/x.npz now"),
        (404, WRONG, "there is no object s3://arrays/x.npz"),
        (403, WRONG, "may not read s3://arrays/x.npz"),
    ):
        with answering(status) as address:
            s3 = {"endpoint": address, "path_style": True, "cache_folder": str(tmp_path / "cache"), "tries": 1}
            study = tiny(
                storage={"folder": str(tmp_path / "runs")}, data={"kind": "npz", "path": "s3://arrays/x.npz", "s3": s3}
            )
            (tmp_path / "study.yaml").write_text(to_yaml(study.to_mapping()))
            checked = type_in("check", "study.yaml", "--data")
            assert (checked.code, words in checked.err) == (code, True), checked.err
            typed = type_in("search", "study.yaml", "--resume", "--retried")
            assert typed.code == (OK if code == WRONG else FAILED)
            assert ("ended for good" in typed.out) == (code == WRONG)


def test_a_mistake_beside_a_server_that_is_away_is_the_users(
    tiny: Callable[..., StudyConfig], type_in: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tiger")
    s3 = {**S3, "endpoint": "http://127.0.0.1:1", "cache_folder": str(tmp_path / "cache")}
    study = tiny(
        storage={"folder": str(tmp_path / "runs"), "artifacts": "s3://studies", "s3": s3},
        data={"kind": "npz", "path": str(tmp_path / "absent.npz")},
    )
    (tmp_path / "study.yaml").write_text(to_yaml(study.to_mapping()))
    typed = type_in("check", "study.yaml", "--data")
    assert typed.code == WRONG
    assert "absent.npz" in typed.err
    assert "http://127.0.0.1:1" in typed.err


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server on loopback that answers every request by one status; yields its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_search_of_a_wrong_config_ends_well_only_where_it_is_retried(
    type_in: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text("name: a\n")
    assert type_in("search", "study.yaml", "--resume").code == WRONG
    typed = type_in("search", "study.yaml", "--resume", "--retried")
    assert typed.code == OK
    assert typed.out.splitlines()[-1].startswith("ended for good, code 2 told as 0")
