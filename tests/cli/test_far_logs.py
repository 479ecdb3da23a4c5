"""Following what a job says, from its last lines on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurosearch.cli.afar import FarStudy
from neurosearch.cli.far_logs import _from_last_lines
from neurosearch.search.folders import StudyFolder


@dataclass(frozen=True)
class Said:
    """A job server whose job has said some text, and says it again from the beginning in pieces."""

    text: str
    later: str

    def log(self, _job: str) -> str:
        return self.text

    def words(self, _job: str) -> Iterator[str]:
        whole = self.text + self.later
        yield from (whole[start : start + 4] for start in range(0, len(whole), 4))


def followed(text: str, lines: int) -> str:
    server: Any = Said(text, "new\n")
    job: Any = SimpleNamespace(id="a-1")
    return "".join(_from_last_lines(FarStudy(server, StudyFolder(Path("runs"), "a"), job), job, lines))


@pytest.mark.parametrize("lines", [3, 4, 100])
def test_a_short_log_is_followed_from_its_first_line(lines: int) -> None:
    assert followed("one\ntwo\nthree\n", lines) == "one\ntwo\nthree\nnew\n"


def test_a_long_log_is_followed_from_its_last_lines() -> None:
    assert followed("one\ntwo\nthree\n", 2) == "two\nthree\nnew\n"
    assert followed("one\ntwo\nthree\n", 0) == "new\n"
    assert followed("", 5) == "new\n"
