"""Addresses of databases that hold studies: what may stand in a config, and what it means.

An address never holds a password: it is logged, stored with the study and printed in the commands to type next.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_POSTGRES_PORT = 5432
_FORMS = "sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE"
_TAKE_IT_OUT = (
    "holds a password, which would be stored and shown; take it out of the address and set "
    "NEUROSEARCH_DATABASE_PASSWORD, or NEUROSEARCH_DATABASE_PASSWORD_FILE, in the environment"
)
# Not every key: sslkey and ssl_key name a file.
_HIDDEN = r"pass|pwd|secret|token|credential|auth|signature|(?:api|access)[-_]?key"
#: What the name of an option has in it that hands over a secret.
SECRET_OPTION = re.compile(_HIDDEN, re.IGNORECASE)
# A password reaches to the last @, for it may hold anything.
_AFTER_USER = re.compile(r"(://[^\s/:@]*):\S*@")
_LOGIN = re.compile(r"^([a-z]+://)?\S*@", re.IGNORECASE)
_IN_QUERY = re.compile(rf"(?<=[?&;#])[^=&;#\s]*(?:{_HIDDEN})[^=&;#\s]*=[^\s&]*&?", re.IGNORECASE)

#: How a connection is encrypted; the same words as PostgreSQL's own clients use.
SslMode = Literal["disable", "prefer", "require", "verify-full"]
SSL_MODES: tuple[SslMode, ...] = get_args(SslMode)


@dataclass(frozen=True)
class SqliteAddress:
    """A SQLite file on this machine.

    Attributes:
        path: The file.
    """

    path: Path


@dataclass(frozen=True)
class PostgresAddress:
    """A database of a PostgreSQL server.

    Attributes:
        user: Role that logs in.
        host: Name or number of the server.
        port: Its TCP port.
        database: The database.
        ssl_mode: How the connection is encrypted.
    """

    user: str
    host: str
    port: int
    database: str
    ssl_mode: SslMode

    @property
    def place(self) -> str:
        """Where the server listens, for people."""
        return f"{self.host}:{self.port}"


DatabaseAddress = SqliteAddress | PostgresAddress


def database_address(text: str) -> DatabaseAddress:
    """Reads an address.

    Raises:
        ValueError: It is none, or holds a password; the text does not repeat it.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is no address of a database ({_without_input(error)}); write {_FORMS}") from error
    if parts.password is not None:
        raise ValueError(_TAKE_IT_OUT)
    match parts.scheme:
        case "sqlite":
            return _sqlite(text)
        case "postgresql":
            return _postgres(parts, port or _POSTGRES_PORT)
        case "postgres" | "postgresql+psycopg2" | "postgresql+psycopg" | "postgresql+pg8000":
            raise ValueError(f"begins with {parts.scheme}://; write postgresql:// instead")
        case _:
            raise ValueError(f"is no address of a database; write {_FORMS}")


def without_password(text: str) -> str:
    """Returns a text with an address in it, as it may be shown."""
    return _IN_QUERY.sub("", _AFTER_USER.sub(r"\1@", text))


def without_login(address: str) -> str:
    """Returns the address of a cluster, which has no place for names and passwords, as it may be shown."""
    return _LOGIN.sub(r"\1", address)


def _sqlite(text: str) -> SqliteAddress:
    path = text.removeprefix("sqlite:///")
    if path == text or path in ("", ":memory:") or path.endswith("/"):
        raise ValueError(
            "names no SQLite file; write sqlite:///FILE, relative to the working directory, or sqlite:////FOLDER/FILE"
        )
    return SqliteAddress(Path(path))


def _postgres(parts: SplitResult, port: int) -> PostgresAddress:
    database = unquote(parts.path.removeprefix("/"))
    if not parts.username or not parts.hostname or not database or "/" in database or parts.fragment:
        raise ValueError("must name user, host and database: postgresql://USER@HOST:PORT/DATABASE")
    options = parse_qs(parts.query, keep_blank_values=True)
    if "password" in options:
        raise ValueError(_TAKE_IT_OUT)
    wanted = options.pop("sslmode", ["prefer"])[-1]
    mode = next((mode for mode in SSL_MODES if mode == wanted), None)
    if options or mode is None:
        raise ValueError(f"may end with ?sslmode= and one of {', '.join(SSL_MODES)}, and with nothing else")
    return PostgresAddress(unquote(parts.username), parts.hostname, port, database, mode)


def _without_input(error: ValueError) -> str:
    """Returns what is wrong without the part of the address that Python's own words may repeat."""
    return "its port is no number from 0 to 65535" if str(error).startswith("Port") else "its host is malformed"
