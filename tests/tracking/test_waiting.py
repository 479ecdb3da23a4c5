from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import TrialInfo
from neurosearch.tracking.values import TrialEnd
from neurosearch.tracking.waiting import Waiting

END = TrialEnd(TrialOutcome("finished", None, {}, 0, 0.0, ()), feasible=True, time_ms=1)


def trial(number: int) -> TrialInfo:
    return TrialInfo(number, "search", {}, {}, (3,), {}, None)


def record(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "step": epoch, "metrics": {}, "events": []}


def epochs(waiting: Waiting, number: int) -> list[int]:
    told = waiting.take(number)
    return [] if told is None else [each["epoch"] for each, _ in told.records]


def test_what_is_taken_stays_until_it_is_crossed_off():
    waiting = Waiting(10)
    waiting.start(trial(0))
    waiting.log(0, [record(1)])
    told = waiting.take(0)
    assert epochs(waiting, 0) == [1]
    waiting.log(0, [record(2)])
    waiting.cross_off(0, told)
    assert epochs(waiting, 0) == [2]
    assert waiting.missing() == 1


def test_an_end_told_while_its_epochs_are_written_is_not_lost():
    waiting = Waiting(10)
    waiting.start(trial(0))
    told = waiting.take(0)
    waiting.end(0, END)
    waiting.cross_off(0, told)
    assert waiting.numbers() == [0]
    waiting.cross_off(0, waiting.take(0))
    assert (waiting.numbers(), waiting.missing(), waiting.any_open()) == ([], 0, False)


def test_a_start_after_an_end_that_waits_takes_it_back():
    waiting = Waiting(10)
    waiting.start(trial(0))
    waiting.end(0, END)
    waiting.start(trial(0))
    assert waiting.take(0).end is None


def test_the_trial_that_waits_longest_is_given_up_when_too_much_waits():
    waiting = Waiting(5)
    waiting.start(trial(0))
    waiting.log(0, [record(1), record(2)])
    waiting.start(trial(1))
    waiting.log(1, [record(1), record(2)])
    assert waiting.numbers() == [1]
    waiting.log(0, [record(3)])
    waiting.end(0, END)
    waiting.start(trial(0))
    assert waiting.numbers() == [1]
    assert waiting.missing() == 3 + 1 + 1 + 1 + 3


def test_a_trial_that_cannot_be_written_goes_last():
    waiting = Waiting(10)
    for number in range(3):
        waiting.start(trial(number))
    waiting.take(0)
    waiting.put_last(0)
    assert waiting.numbers() == [1, 2, 0]


numbers = st.integers(0, 3)
actions = st.one_of(
    st.tuples(st.just("start"), numbers),
    st.tuples(st.just("log"), numbers, st.lists(st.integers(1, 6), max_size=4)),
    st.tuples(st.just("end"), numbers),
    st.tuples(st.just("write"), numbers),
)


@given(st.lists(actions, max_size=40), st.integers(1, 6))
def test_no_more_waits_than_allowed_and_the_count_is_right(steps, max_size):
    waiting = Waiting(max_size)
    for action, number, *rest in steps:
        match action:
            case "start":
                waiting.start(trial(number))
            case "log":
                waiting.log(number, [record(epoch) for epoch in rest[0]])
            case "end":
                waiting.end(number, END)
            case "write":
                told = waiting.take(number)
                if told is not None:
                    waiting.cross_off(number, told)
        counted = sum(entry.size for entry in waiting._entries.values())
        assert waiting._size == counted <= max_size
