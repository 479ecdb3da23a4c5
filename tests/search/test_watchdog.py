import subprocess
import sys
import textwrap
import time

import pytest

from neurosearch.search.watchdog import silence_words, watched

# Holds Python's lock for good: no thread of Python can run beside it, and no signal handler.
HANG = """
import ctypes, sys, time
from pathlib import Path
from neurosearch.search.watchdog import watched

def training():
    yield 1
    time.sleep(float(sys.argv[2]))
    yield 2
    ctypes.PyDLL(None).sleep(60)
    yield 3

for update in watched(training(), Path(sys.argv[1]), 1.0):
    print(update, flush=True)
"""


def run_hang(path, pause="0"):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HANG), str(path), pause],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def numbers():
    yield 1
    yield 2


def test_a_process_that_hangs_with_pythons_lock_held_is_ended_and_says_where_it_stood(tmp_path):
    path = tmp_path / "trial" / "hang.txt"
    done = run_hang(path)
    assert done.returncode == 1
    assert done.stdout.split() == ["1", "2"]
    assert "in training" in path.read_text()
    assert f"Where it stood: {path}" in silence_words(path)


def test_each_update_starts_the_clock_anew_and_a_busy_caller_costs_no_time(tmp_path):
    updates = watched(numbers(), tmp_path / "hang.txt", 0.2)
    assert next(updates) == 1
    time.sleep(0.4)
    assert list(updates) == [2]
    time.sleep(0.4)


def test_a_training_that_ends_or_is_closed_or_fails_leaves_no_file_and_no_clock(tmp_path):
    path = tmp_path / "hang.txt"

    def failing():
        yield 1
        raise ValueError("no")

    assert list(watched(numbers(), path, 0.2)) == [1, 2]
    closed = watched(numbers(), path, 0.2)
    next(closed)
    closed.close()
    with pytest.raises(ValueError, match="no"):
        list(watched(failing(), path, 0.2))
    time.sleep(0.4)
    assert not path.exists()


def test_closing_closes_what_is_watched(tmp_path):
    closed = []

    def training():
        try:
            yield 1
        finally:
            closed.append(True)

    updates = watched(training(), tmp_path / "hang.txt", 5.0)
    next(updates)
    updates.close()
    assert closed == [True]


def test_without_a_limit_nothing_is_watched(tmp_path):
    assert list(watched(numbers(), tmp_path / "hang.txt", None)) == [1, 2]
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_written_the_hang_ends_all_the_same(tmp_path):
    (tmp_path / "trial").write_text("a file where a folder should be")
    assert run_hang(tmp_path / "trial" / "hang.txt").returncode == 1


def test_a_file_of_another_death_tells_nothing(tmp_path):
    path = tmp_path / "hang.txt"
    assert silence_words(path) is None
    path.write_text("")
    assert silence_words(path) is None
