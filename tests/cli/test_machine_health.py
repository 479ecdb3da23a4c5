import os
import time
from importlib import metadata
from pathlib import Path

import pytest

from neurosearch.cli import machine_health
from neurosearch.cli.machine_health import Finding, clock, disk, existing, gpu, memory, versions
from tests.readers import as_reader, readable_folder

GIB = 2**30


def prints(found: str) -> str:
    return f"print('a warning'); print({found!r})"


def test_a_line_says_what_to_do() -> None:
    finding = Finding("disk", "mind", "little.", "Make room.")
    assert finding.line == "mind   disk: little. Make room."
    assert finding.facts() == {"name": "disk", "state": "mind", "text": "little.", "remedy": "Make room."}


def test_the_installed_versions_fit_what_is_asked_for() -> None:
    finding = versions()
    assert finding.state == "ok", finding
    assert f"mlflow {metadata.version('mlflow')}" in finding.text


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("numpy>=2.1", []),
        ("numpy<1000,>=2", []),
        ("numpy<2.0.0", ["numpy is {}, but must be <2.0.0"]),
        ("numpy[x]>=1000", ["numpy is {}, but must be >=1000"]),
        ("no-such-thing>=1", ["no-such-thing is not installed"]),
        ("no-such-thing>=1; python_version < '3'", []),
    ],
)
def test_bounds_are_compared(requirement: str, told: list[str]) -> None:
    found = list(machine_health._unfit(requirement))
    assert found == [text.format(metadata.version("numpy")) for text in told]


@pytest.mark.parametrize(
    ("found", "has_driver", "state", "text"),
    [
        (
            '{"built_for": "13.0", "usable": true, "gpus": [{"name": "H200", "bytes": 150323855360}]}',
            True,
            "ok",
            "H200",
        ),
        ('{"built_for": null, "usable": false, "gpus": []}', False, "ok", "none"),
        ('{"built_for": null, "usable": false, "gpus": []}', True, "mind", "built without CUDA"),
        ('{"built_for": "13.0", "usable": false, "gpus": []}', True, "mind", "cannot use a GPU"),
    ],
)
def test_what_pytorch_finds_is_told(
    found: str, has_driver: bool, state: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = tmp_path / "version"
    if has_driver:
        driver.touch()
    monkeypatch.setattr(machine_health, "_DRIVER", driver)
    finding = gpu(prints(found))
    assert (finding.state, text in finding.text) == (state, True), finding


def test_a_hanging_driver_does_not_hang_the_doctor() -> None:
    began = time.monotonic()
    assert gpu("import time; time.sleep(60)", seconds=0.3).state == "mind"
    assert time.monotonic() - began < 5


def test_a_broken_pytorch_is_wrong() -> None:
    finding = gpu("import no_such_module")
    assert finding.state == "wrong"
    assert "No module named 'no_such_module'" in finding.text


@pytest.mark.parametrize(("free", "state"), [(8 * GIB, "ok"), (1 * GIB, "mind"), (GIB // 4, "wrong")])
def test_memory_is_judged_by_what_is_free(free: int, state: str) -> None:
    assert memory(free).state == state


def test_a_disk_is_looked_at_where_the_folder_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
    monkeypatch.setattr(machine_health, "_LITTLE_DISK", 0)
    assert disk(tmp_path / "a").state == "ok"
    monkeypatch.setattr(machine_health, "_LITTLE_DISK", 2**60)
    assert disk(tmp_path / "a").state == "mind"
    monkeypatch.setattr(machine_health, "_TOO_LITTLE_DISK", 2**60)
    assert disk(tmp_path / "a").state == "wrong"


def test_a_study_from_the_future_gives_the_clock_away(tmp_path: Path) -> None:
    assert clock(tmp_path).state == "ok"
    journal = tmp_path / "a" / "study.journal"
    journal.parent.mkdir()
    journal.touch()
    os.utime(journal, (time.time() + 3600, time.time() + 3600))
    finding = clock(tmp_path)
    assert (finding.state, "in the future" in finding.text) == ("mind", True)


def test_a_folder_that_may_not_be_looked_into_is_where_its_path_ends(tmp_path: Path) -> None:
    with readable_folder() as folder:  # nobody may look into those that pytest makes, if root made them
        found = as_reader(folder, lambda: str(existing(tmp_path / "a")))
    assert found in {str(tmp_path), *map(str, tmp_path.parents)}
