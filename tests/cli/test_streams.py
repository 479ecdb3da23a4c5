import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHECK = (sys.executable, "-m", "neurosearch", "check", "tiny.yaml")


def typed(folder: Path, closed: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Types a command in a shell, which closes a stream by such as `2>&-`."""
    shell = ("/bin/sh", "-c", f'exec "$@" {closed}', "sh")
    return subprocess.run([*shell, *words], cwd=folder, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_works_without_standard_streams(tmp_path: Path, config: Callable[..., Path], closed: str) -> None:
    config()
    done = typed(tmp_path, closed, *CHECK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"" if ">&- " in f"{closed} " else b"tiny.yaml: ok.")
    assert typed(tmp_path, closed, *CHECK, "--set", "seed=-1").returncode == 2


def test_no_file_gets_the_number_of_a_stream(tmp_path: Path) -> None:
    code = (
        "from neurosearch.cli.streams import mend_streams; mend_streams(); import os; file = open('mine', 'w'); "
        "[os.write(number, b'a library prints') for number in (1, 2)]; file.close()"
    )
    assert typed(tmp_path, "<&- >&- 2>&-", sys.executable, "-c", code).returncode == 0
    assert (tmp_path / "mine").read_bytes() == b""


def test_a_name_that_is_no_text_is_printed_as_its_codes(tmp_path: Path, config: Callable[..., Path]) -> None:
    config().rename(tmp_path / os.fsdecode(b"\xff.yaml"))
    words = [*CHECK[:-1], os.fsdecode(b"\xff.yaml")]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most languages of the system
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(rb"\udcff.yaml: ok.")


def test_a_full_disk_is_told_where_there_is_room(tmp_path: Path, config: Callable[..., Path]) -> None:
    config()
    for words in (CHECK, (*CHECK, "--json")):
        done = typed(tmp_path, ">/dev/full", *words)
        assert done.returncode == 3
        assert done.stderr.startswith(b"error: the disk is full")
        assert b"Traceback" not in done.stderr


def test_a_command_ends_in_silence_when_nobody_listens_any_more(finished: Path) -> None:
    words = (sys.executable, "-m", "neurosearch", "status", "tiny", "--folder", str(finished), "--watch")
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, b"")
