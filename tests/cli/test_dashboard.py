"""Optuna's dashboard on a study's storage, as docs/dashboard.md says: it reads, and the search goes on beside it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.study import create_study

pytestmark = [pytest.mark.servers, pytest.mark.slow]
_SECONDS = 120
_MAIN = "from optuna_dashboard._cli import main; main()"  # what the command optuna-dashboard calls


@contextmanager
def dashboard(storage: str, folder: Path) -> Iterator[str]:
    """Runs `optuna-dashboard STORAGE` and yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "dashboard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, storage, "--port", str(port)],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urlopen(f"{address}/dashboard", timeout=10) as page:
                    assert b"Optuna Dashboard" in page.read()
                    break
            except (URLError, OSError):
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(address: str, path: str) -> Any:
    with urlopen(f"{address}/api/{path}", timeout=30) as answer:
        return json.load(answer)


def seen(address: str) -> tuple[str, list[str]]:
    """Returns the name of the one study and the states of its trials, as the pages show them."""
    (study,) = ask(address, "studies")["study_summaries"]
    detail = ask(address, f"studies/{study['study_id']}")
    return study["study_name"], [trial["state"] for trial in detail["trials"]]


def test_it_shows_a_study_that_is_searched_meanwhile_and_touches_nothing(
    start: Callable[..., Any], run_trials: Callable[..., None], tmp_path: Path
) -> None:
    study = start(tmp_path / "runs", search={"trials": 2})
    run_trials(study, most=1)
    journal = study.stored.folder.journal
    before = journal.read_bytes()
    with dashboard(str(journal), tmp_path) as address:
        assert seen(address) == ("tiny", ["Complete"])
        assert journal.read_bytes() == before, "looking writes nothing"
        run_trials(study)
        deadline = time.monotonic() + _SECONDS  # it keeps what it has read for some seconds
        while seen(address) != ("tiny", ["Complete", "Complete"]):
            assert time.monotonic() < deadline
            time.sleep(0.5)
    study.close()
    assert journal.read_bytes().startswith(before)
    assert not [path for path in journal.parent.iterdir() if path.name.startswith("study.journal.")], "no lock is left"


def test_it_opens_a_database_as_well(tiny: Callable[..., Any], run_trials: Callable[..., None], tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    study = create_study(StudyFolder(tmp_path / "runs", "tiny", database), tiny(search={"trials": 1}))
    run_trials(study)
    study.close()
    with dashboard(database, tmp_path) as address:
        assert seen(address) == ("tiny", ["Complete"])
