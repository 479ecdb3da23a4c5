from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import search_lock
from neurosearch.search.outcome import TrialOutcome

TypeIn = Callable[..., Any]


@pytest.fixture
def failed(start: Callable[..., Any], tmp_path: Path) -> StudyFolder:
    """A study whose first trial broke, and whose second one hung."""
    study = start(tmp_path / "runs")
    folder: StudyFolder = study.stored.folder
    for _ in range(2):
        study.tell(study.ask().number, TrialOutcome.failed("RuntimeError: broken", 1, 1.0))
    study.close()
    for path, text in ((folder.traceback(0), "Traceback: line 7"), (folder.stacks(1), "Timeout (0:30:00)!")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.logs.mkdir()
    (folder.logs / "ray.log").write_text("one\ntwo\nthree\n")
    return folder


def test_logs_are_listed_with_their_last_lines_and_the_failed_trials(type_in: TypeIn, failed: StudyFolder) -> None:
    done = type_in("logs", "tiny", "--lines", 2)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("runs/tiny/logs/ray.log: 14 bytes, last written ")
    assert lines[1:4] == ["  two", "  three", "failed trials: 0, 1"]
    assert "neurosearch logs tiny --trial 1" in done.out
    facts = type_in("logs", "tiny", "--json").facts
    assert facts["failed_trials"] == [0, 1]
    assert [Path(file["path"]).name for file in facts["files"]] == ["ray.log"]
    assert facts["files"][0]["last_lines"] == ["one", "two", "three"]


def test_a_trial_shows_where_it_broke_or_hung(type_in: TypeIn, failed: StudyFolder) -> None:
    broken = type_in("logs", "tiny", "--trial", 0).out
    assert broken.splitlines()[0] == "trial 0, static, failed after epoch 1: RuntimeError: broken"
    assert "it failed here (runs/tiny/trials/00000/traceback.txt):\n  Traceback: line 7\n" in broken
    hung = type_in("logs", "tiny", "--trial", 1, "--json").facts
    assert (hung["traceback"], hung["hang"]) == (None, "Timeout (0:30:00)!")


def test_a_trial_without_a_traceback_says_so(type_in: TypeIn, finished: Path) -> None:
    assert "it left no traceback" in type_in("logs", "tiny", "--folder", finished, "--trial", 0).out
    assert type_in("logs", "tiny", "--folder", finished, "--trial", 99).code == 2


def test_a_study_without_logs_says_where_they_will_be(
    type_in: TypeIn, start: Callable[..., Any], tmp_path: Path
) -> None:
    study = start(tmp_path)
    study.ask()
    study.close()
    done = type_in("logs", "tiny", "--folder", tmp_path)
    assert done.out.startswith(f"no logs yet: they will be in {tmp_path}/tiny/logs")


def test_rays_own_folder_is_named(type_in: TypeIn, failed: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "temporary")
    with (failed.logs / "ray.log").open("a") as file:
        file.write("INFO Ray's session: session_1\n")
    assert "Ray's own processes: temporary/ray/session_1/logs, on the machine" in type_in("logs", "tiny").out
    Path("temporary/ray/session_1/logs").mkdir(parents=True)
    assert "Ray's own processes, workers included: temporary/ray/session_1/logs" in type_in("logs", "tiny").out


def test_following_ends_with_the_search(type_in: TypeIn, failed: StudyFolder) -> None:
    lock = search_lock(failed)

    def end() -> None:
        with (failed.logs / "ray.log").open("a") as file:
            file.write("the last word\n")
        lock.release()

    Timer(0.5, end).start()
    done = type_in("logs", "tiny", "--follow", "--lines", 1)
    assert done.out.splitlines()[:3] == [
        "[ray] three",
        "[ray] the last word",
        "nobody searches the study; its logs are at their end.",
    ]
