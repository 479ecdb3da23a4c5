import os
import pty
import re
import time

import pytest

from neurosearch.cli.bars import Bars, Lines, work_words
from neurosearch.longwork import Work, long_work, told_to


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (Work(0, "tracing", 0, None, "", False), "tracing ..."),
        (Work(0, "fetching", 2048, None, "bytes", False), "fetching: 2 KiB"),
        (Work(0, "fetching", 300, 1200, "bytes", False), "fetching: 25%, 300 bytes of 1.17 KiB"),
        (Work(0, "decoding", 1500, 6000, "images", False), "decoding: 25%, 1,500 images of 6,000 images"),
        (Work(0, "exporting", 4, 4, "", True), "exporting: done"),
        (Work(0, "exporting", 1, 4, "", True), "exporting: ended"),
    ],
)
def test_work_in_words(work, words):
    assert work_words(work) == words


def test_quick_work_is_not_worth_a_line():
    said: list[str] = []
    with told_to(Lines(said.append)), long_work("exporting", 3) as more:
        more(3)
    assert said == []


def test_long_work_is_told_now_and_then():
    said: list[str] = []
    started = time.monotonic()
    with told_to(Lines(said.append, every_seconds=0.02)), long_work("fetching", 200, "images") as more:
        for _ in range(200):
            time.sleep(0.001)
            more(1)
    assert 2 <= len(said) <= (time.monotonic() - started) / 0.02 + 1
    assert re.fullmatch(r"fetching: \d+%, \d+ images of 200 images", said[0])


@pytest.fixture
def terminal():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        yield stream, ours
    os.close(ours)


def shown(descriptor: int) -> str:
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 1 << 16).decode()
    except BlockingIOError:
        return ""


def test_a_terminal_has_a_bar_while_work_goes_on_and_nothing_afterwards(terminal):
    stream, descriptor = terminal
    bars = Bars(stream)
    with told_to(bars), long_work("decoding images", 4, "images") as more:
        more(1)
        text = ""
        end = time.monotonic() + 20
        while "decoding images" not in text or "25%" not in text:
            assert time.monotonic() < end, text
            time.sleep(0.05)
            text += shown(descriptor)
    bars.close()
    stream.flush()
    assert "\x1b[2K" in shown(descriptor), "the bar is wiped away"


def test_quick_work_draws_nothing_on_a_terminal(terminal):
    stream, descriptor = terminal
    bars = Bars(stream)
    with told_to(bars), long_work("exporting", 3) as more:
        more(3)
    bars.close()
    stream.flush()
    assert shown(descriptor) == ""
