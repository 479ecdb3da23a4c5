from pathlib import Path

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.log_files import Follower, last_lines, log_files, ray_log, ray_sessions, session_line


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    found = StudyFolder(tmp_path, "a")
    found.logs.mkdir(parents=True)
    return found


def test_the_sessions_of_all_searches_are_found_in_rays_log_the_last_first(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert ray_sessions(folder) == ()
    names = ("session_2026-01-01_00-00-00_000000_1", "session_2026-01-02_00-00-00_000000_2")
    lines = [f"2026 INFO -- {session_line(name)}" for name in (names[0], names[0], names[1])]
    ray_log(folder).write_text("\n".join(["what Ray says", *lines]))
    assert ray_sessions(folder) == tuple(tmp_path / "ray" / name / "logs" for name in reversed(names))


def test_the_files_are_those_of_the_study_and_of_mlflows_pages(folder: StudyFolder) -> None:
    assert log_files(folder) == ()
    for path in (folder.logs / "ray.log", folder.logs / "export.log", folder.root / "ui.log", folder.logs / "x.txt"):
        path.write_text("")
    assert log_files(folder) == (folder.logs / "export.log", folder.logs / "ray.log", folder.root / "ui.log")


def test_the_last_lines_of_a_large_file_are_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert last_lines(path, 2) == ("line 99998", "line 99999")
    assert last_lines(path, 0) == ()


def test_a_follower_reads_whole_lines_once_and_a_new_file_from_its_start(tmp_path: Path) -> None:
    path, follower = tmp_path / "a.log", Follower()
    assert list(follower.new_lines(path)) == []
    path.write_text("old\n")
    follower.skip(path)
    with path.open("a") as file:
        file.write("new\nha")
        file.flush()
        assert list(follower.new_lines(path)) == ["new"]
        file.write("lf\n")
        file.flush()
        assert list(follower.new_lines(path)) == ["half"]
    path.write_text("anew\n")
    assert list(follower.new_lines(path)) == ["anew"]
