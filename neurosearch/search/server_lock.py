"""The right to search a study in PostgreSQL: an advisory lock of a session, which goes with its connection."""

from contextlib import closing, suppress
from hashlib import sha256
from typing import Any

from neurosearch.config.database import PostgresAddress
from neurosearch.search.connections import as_server_shows, connect
from neurosearch.search.errors import RightLost

# Every database of a server has locks of its own. A key of 64 bits is told in two halves.
_HOLDER = """
SELECT activity.pid, activity.application_name FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND lock.classid = CAST(%s AS oid) AND lock.objid = CAST(%s AS oid)
"""


class ServerLock:
    """The lock of a study, held on a connection of its own."""

    def __init__(self, address: PostgresAddress, study: str, owner: str, connection: Any) -> None:
        """Takes a connection that holds the lock.

        Args:
            address: The server.
            study: Name of the study.
            owner: The words by which others know this process.
            connection: Holds the lock.
        """
        self._address = address
        self._study = study
        self._owner = as_server_shows(owner)  # as which it is found again there
        self._connection: Any = connection
        self._backend = _backend(connection)

    @classmethod
    def taken(cls, address: PostgresAddress, study: str, owner: str) -> "ServerLock | None":
        """Takes the lock; None when another process holds it.

        Raises:
            Exception: The driver's own; the server cannot be reached.
        """
        connection = _locked(address, study, owner)
        return None if connection is None else cls(address, study, owner, connection)

    @property
    def held(self) -> bool:
        """Whether it has not been released."""
        return self._connection is not None

    def ensure(self) -> None:
        """Asks the server whether the connection lives; the lock of one that does not is taken again.

        Raises:
            RightLost: Another process took it in between.
            Exception: The driver's own; the server cannot be reached now.
        """
        import pg8000

        assert self._connection is not None, "the lock has been released"
        try:
            _asked(self._connection, "SELECT 1")
        except (pg8000.Error, OSError):
            self._take_again()

    def release(self) -> None:
        """Closes the connection, and the lock goes with it."""
        if self._connection is not None:
            _close(self._connection)
            self._connection = None

    def _take_again(self) -> None:
        _close(self._connection)
        connection = _locked(self._address, self._study, self._owner)
        if connection is None:
            self._end_own_ghost()
            connection = _locked(self._address, self._study, self._owner)
        if connection is None:
            raise RightLost(
                f"the connection that kept the right to search {self._study!r} broke, and now the study is searched by "
                f"{server_holder(self._address, self._study) or 'another process'}. This process searches no more."
            )
        self._connection, self._backend = connection, _backend(connection)

    def _end_own_ghost(self) -> None:
        """Ends our broken connection at the server, which may not have noticed that it broke."""
        with closing(connect(self._address, self._owner)) as connection:
            if (self._backend, self._owner) in _holders(connection, self._study):
                _asked(connection, "SELECT pg_terminate_backend(%s, 2000)", self._backend)


def server_holder(address: PostgresAddress, study: str) -> str | None:
    """Returns which process holds the lock of a study, in its own words; None when none does.

    Raises:
        Exception: The driver's own; the server cannot be reached.
    """
    with closing(connect(address)) as connection:
        return next((owner or "another process" for _, owner in _holders(connection, study)), None)


def _key(study: str) -> int:
    """Returns the study's key of 64 bits, with a sign."""
    return int.from_bytes(sha256(f"neurosearch {study}".encode()).digest()[:8], "big", signed=True)


def _locked(address: PostgresAddress, study: str, owner: str) -> Any:
    """Returns a connection that holds the lock; None when another one does."""
    connection = connect(address, owner)
    try:
        locked = _asked(connection, "SELECT pg_try_advisory_lock(%s)", _key(study))[0][0]
    except BaseException:
        _close(connection)
        raise
    if not locked:
        _close(connection)
        return None
    return connection


def _holders(connection: Any, study: str) -> list[tuple[int, str]]:
    key = _key(study) % 2**64
    rows = _asked(connection, _HOLDER, key >> 32, key % 2**32)
    return [(int(backend), str(owner or "")) for backend, owner in rows]


def _backend(connection: Any) -> int:
    """Returns the server's number of a connection."""
    return int(_asked(connection, "SELECT pg_backend_pid()")[0][0])


def _asked(connection: Any, query: str, *values: Any) -> Any:
    """Returns the rows of an answer, outside of any transaction, which would be open for as long as the search."""
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(query, values)
    return cursor.fetchall()


def _close(connection: Any) -> None:
    import pg8000

    with suppress(pg8000.Error, OSError):  # it may be broken
        connection.close()
