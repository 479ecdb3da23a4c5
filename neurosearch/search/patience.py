"""Patience with a database that goes away for a moment: the one place where what failed is tried again."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from neurosearch.config.database import database_address
from neurosearch.search.errors import StorageLost, StudyError
from neurosearch.search.mishaps import explained, is_passing

_T = TypeVar("_T")
_LOOK_SECONDS = 3.0  # somebody waits for a command
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_logger = logging.getLogger("neurosearch")


class Patience:
    """Repeats what failed for a reason that may pass, for a bounded time.

    Attributes:
        seconds: For how long.
        afterword: What to say after the reason, once the time is over.
        renew: Drops all connections; called before each repetition.
        guard: Called before every write; raises where this process may not write any more.
    """

    def __init__(self, database: str) -> None:
        """Takes the address of the database; its patience is that of a command, and every write is let through."""
        self.seconds = _LOOK_SECONDS
        self.afterword = ""
        self.renew: Callable[[], None] = _nothing
        self.guard: Callable[[], None] = _nothing
        self._database = database
        self._address = database_address(database)
        self._lost: StorageLost | None = None

    def run(self, work: Callable[[bool], _T]) -> _T:
        """Returns what `work` returns; it is told whether an earlier try may have done it already.

        Raises:
            StorageLost: The database cannot be used, and was given all the time there is; from then on, at once.
        """
        if self._lost is not None:
            raise self._lost
        until = time.monotonic() + self.seconds
        pause = _FIRST_PAUSE_SECONDS
        again = False
        while True:
            try:
                return work(again)
            except StudyError:
                raise
            except Exception as error:
                if not self._may_pass(error, until, again):
                    raise
            time.sleep(pause)
            self.renew()
            again, pause = True, min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _may_pass(self, error: Exception, until: float, again: bool) -> bool:
        """Tells whether to try again; False for an error that is none of the database's.

        Raises:
            StorageLost: It does not pass, or did not in time.
        """
        why = explained(error, self._address)
        if why is None:
            return False
        words = f"{self._database} cannot be used: {why}."
        if not is_passing(error) or time.monotonic() > until:
            self._lost = StorageLost(words + self.afterword)
            raise self._lost from error
        if not again:
            _logger.warning("%s Trying again for %.0f seconds.", words, self.seconds)
        return True


def _nothing() -> None:
    """Does nothing: there are no connections to drop, or no right is needed, as for a request to stop."""
