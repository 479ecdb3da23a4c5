"""Connections to the databases that hold studies: how they are made, and with which password."""

import os
import socket
import sqlite3
import ssl
from pathlib import Path
from typing import Any

from neurosearch.config.database import DatabaseAddress, PostgresAddress, SqliteAddress
from neurosearch.search.errors import StudyError

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0  # a server that is silent for so long when it should answer is gone
_BUSY_SECONDS = 30.0  # how long SQLite waits for another process to end its write
# Each statement is several small packets: without the first, every one of them waits 40 ms for the other side's word.
_WIRE = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
# The server looks after its side as often: the lock of a machine without power is free within half a minute.
_SETTINGS = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
_LONGEST_NAME = 63  # PostgreSQL cuts longer names of applications


def connect(address: DatabaseAddress, name: str = "neurosearch") -> Any:
    """Returns a new connection of the database's driver (DB-API 2).

    Args:
        address: The database.
        name: What the server calls this connection, for others to read.
    """
    match address:
        case SqliteAddress():
            return _sqlite(address.path)
        case PostgresAddress():
            return _postgres(address, name)


def as_server_shows(name: str) -> str:
    """Returns the name of a connection as PostgreSQL shows it to others."""
    return name.encode("ascii", "replace").decode()[:_LONGEST_NAME]


def password() -> str | None:
    """Returns the password that the environment gives, or the file that it names; None without one.

    Raises:
        StudyError: The file cannot be read.
    """
    given = os.environ.get("NEUROSEARCH_DATABASE_PASSWORD") or os.environ.get("PGPASSWORD")
    path = os.environ.get("NEUROSEARCH_DATABASE_PASSWORD_FILE")
    if given or not path:
        return given or None
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(
            f"the file {path}, which NEUROSEARCH_DATABASE_PASSWORD_FILE names, cannot be read: "
            f"{getattr(error, 'strerror', None) or 'it is no text'}. Mend the path."
        ) from error


def _sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")  # who reads does not wait for who writes
        connection.execute("PRAGMA synchronous = FULL")  # what is told is on the disk
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _postgres(address: PostgresAddress, name: str) -> Any:
    import pg8000.dbapi

    wire = socket.create_connection((address.host, address.port), _CONNECT_SECONDS)
    try:
        wire.settimeout(_ANSWER_SECONDS)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _WIRE.items():
            if hasattr(socket, option):  # not every system has all of them
                wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        connection = pg8000.dbapi.connect(
            address.user,
            host=address.host,
            database=address.database,
            password=password() or "",  # a server that trusts us asks for none
            sock=wire,
            ssl_context=_ssl_context(address),
            application_name=as_server_shows(name),
        )
        connection.autocommit = True
        connection.cursor().execute(_SETTINGS)
        connection.autocommit = False
    except BaseException:
        wire.close()
        raise
    return connection


def _ssl_context(address: PostgresAddress) -> Any:
    """Returns how to encrypt, as the driver takes it: None means if the server can, without a look at who it is."""
    match address.ssl_mode:
        case "disable":
            return False
        case "prefer":
            return None
        case "require":
            return True
        case "verify-full":
            return ssl.create_default_context(cafile=os.environ.get("PGSSLROOTCERT"))
