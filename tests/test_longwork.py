from concurrent.futures import ThreadPoolExecutor

import pytest

from neurosearch.longwork import Work, long_work, told_to


def test_work_tells_its_beginning_every_step_and_its_end():
    heard: list[Work] = []
    with told_to(heard.append), long_work("fetching", 10, "bytes") as more:
        more(4)
        more(6)
    assert [(each.done, each.is_over) for each in heard] == [(0, False), (4, False), (10, False), (10, True)]
    assert {(each.what, each.total, each.unit) for each in heard} == {("fetching", 10, "bytes")}


def test_work_that_breaks_off_has_ended_too():
    heard: list[Work] = []

    def break_off() -> None:
        with long_work("fetching") as more:
            more(1)
            raise OSError("gone")

    with told_to(heard.append), pytest.raises(OSError, match="gone"):
        break_off()
    assert (heard[-1].done, heard[-1].is_over) == (1, True)


def test_many_threads_count_together_and_pieces_are_told_apart():
    heard: list[Work] = []
    with told_to(heard.append), long_work("a", 400) as first, long_work("b") as second, ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            pool.submit(first, 4)
            pool.submit(second, 1)
    ends = {each.what: each for each in heard if each.is_over}
    assert (ends["a"].done, ends["b"].done) == (400, 100)
    assert ends["a"].key != ends["b"].key


def test_nobody_needs_to_listen_and_a_listener_hears_only_its_own_block():
    heard: list[Work] = []
    with long_work("before") as more:
        more(1)
    with told_to(heard.append), told_to(lambda _: None), long_work("inside"):
        pass
    assert heard == []
