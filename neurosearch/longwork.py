"""Long work that says how far it is: to whoever listens, or to nobody.

Work at the bottom (a transfer, decoding images, a trace) knows nothing of screens, and what shows it knows nothing of
the work. Like a logger, the listener belongs to the process: work goes on in several threads at once.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """How far a piece of long work is.

    Attributes:
        key: Tells pieces that go on at the same time apart.
        what: What is done, such as `fetching from S3`.
        done: How much of it is done.
        total: How much there is to do; None where nobody knows.
        unit: What is counted, such as `bytes`; empty for steps.
        is_over: Whether it has ended, done or not.
    """

    key: int
    what: str
    done: int
    total: int | None
    unit: str
    is_over: bool


#: Is told of work when it begins, when more of it is done, and when it ends; from any thread. It must not block.
Audience = Callable[[Work], None]

_KEYS = itertools.count()


class _Stage:
    audience: Audience | None = None


@contextmanager
def told_to(audience: Audience) -> Iterator[None]:
    """Has the audience told of all work in this process while inside, instead of who was told before."""
    before, _Stage.audience = _Stage.audience, audience
    try:
        yield
    finally:
        _Stage.audience = before


@contextmanager
def long_work(what: str, total: int | None = None, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Tells that long work goes on inside.

    Args:
        what: What is done.
        total: How much there is to do; None where nobody knows.
        unit: What is counted; empty for steps.

    Yields:
        A function that is told how much more is done; any thread may call it.
    """
    lock, key, done = threading.Lock(), next(_KEYS), 0

    def tell(more: int = 0, *, is_over: bool = False) -> None:
        nonlocal done
        with lock:
            done += more
            if _Stage.audience is not None:
                _Stage.audience(Work(key, what, done, total, unit, is_over))

    tell()
    try:
        yield tell
    finally:
        tell(is_over=True)
