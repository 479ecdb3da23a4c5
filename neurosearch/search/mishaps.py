"""What goes wrong with databases: whether it passes by itself, and in plain words what it is and how to mend it."""

import socket
import sqlite3
import ssl
from collections.abc import Iterator

from neurosearch.config.database import DatabaseAddress, PostgresAddress, SqliteAddress
from neurosearch.search.connections import password

_COLLISION = "23505"
# PostgreSQL's codes of errors that pass: the server stops, starts or has no free connection, two writes collided, or
# two processes made the tables at the same time (the later one finds them when it looks again).
_PASSING = {"57P01", "57P02", "57P03", "53300", "08000", "08003", "08006", "40001", "40P01", "55P03", "42P07"}
_PASSING |= {_COLLISION}
_SQLITE_PASSING = ("locked", "already exists", "UNIQUE constraint failed")
_BROKEN = "broken"  # what the driver finds itself has no code
_WRONG_PASSWORD, _NO_PASSWORD = "28P01", "no password"  # codes, no secrets

_WORDS = {
    _BROKEN: "the connection to {place} broke ({text}). See that the server runs",
    _NO_PASSWORD: "it asks for the password of {user!r}. Set NEUROSEARCH_DATABASE_PASSWORD in the environment",
    _WRONG_PASSWORD: "it refuses the password of {user!r}. Set NEUROSEARCH_DATABASE_PASSWORD to the right one",
    "28000": "the server does not let {user!r} in ({text}). Make the role, or let it in by pg_hba.conf",
    "3D000": (
        "the server has no database {database!r}. Make it with `createdb -h {host} -p {port} -U {user} {database}`, or "
        "mend the name"
    ),
    "42501": (
        "{user!r} may not do what a search needs ({text}). The owner of the database can grant it: "
        'GRANT CONNECT ON DATABASE "{database}" TO "{user}"; GRANT USAGE, CREATE ON SCHEMA public TO "{user}"'
    ),
    "53100": "the disk of the server is full ({text}). Make room there",
    "53300": "the server has no free connection ({text}). End others, or raise its max_connections",
}
_OTHER_WORDS = "the server answers: {text}. Mend that, or name another database"

_SQLITE_WORDS = {
    "not a database": "it is no SQLite database. Name another file",
    "malformed": "the file is damaged. Restore it from a copy, or name another file",
    "locked": "another process has locked the file. Wait for it, or end it",
    "full": "its disk is full. Make room",
}
_OTHER_SQLITE_WORDS = "{text}. See that the file and its folder can be written"


def is_passing(error: BaseException) -> bool:
    """Tells whether an error may pass by itself: the same may succeed when it is tried again."""
    return any(_passes(each) for each in _causes(error))


def is_collision(error: BaseException) -> bool:
    """Tells whether PostgreSQL refused a row because there is one of the same key."""
    return _code(error)[0] == _COLLISION


def explained(error: BaseException, address: DatabaseAddress) -> str | None:
    """Says in plain words why a database cannot be used and how to mend that; None for an error of another kind."""
    words = (_words(each, address) for each in _causes(error))
    return next((text for text in words if text is not None), None)


def lacking_rights(address: PostgresAddress) -> str:
    """Says that a role may not write where studies are kept, and how to mend that."""
    text = "it may not make or write tables"
    return _WORDS["42501"].format(text=text, user=address.user, database=address.database)


def missing_folder(address: SqliteAddress) -> str | None:
    """Says that there is no folder for a file and how to mend that; None if there is."""
    folder = address.path.absolute().parent
    return None if folder.is_dir() else f"there is no folder {folder}. Make it, or mend the address"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what caused it, as far as that was told."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = getattr(each, "orig", None) or each.__cause__


def _passes(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return any(words in str(error) for words in _SQLITE_PASSING)
    if isinstance(error, OSError):
        return not isinstance(error, ssl.SSLCertVerificationError)
    code, _ = _code(error)
    return code == _BROKEN or code in _PASSING


def _code(error: BaseException) -> tuple[str | None, str]:
    """Returns the code of an error of PostgreSQL's driver, and its words; None for another error."""
    if not type(error).__module__.startswith("pg8000"):
        return None, ""
    told = error.args[0] if error.args else ""
    if isinstance(told, dict):
        return str(told.get("C")), str(told.get("M", ""))
    return _BROKEN, str(told)


def _words(error: BaseException, address: DatabaseAddress) -> str | None:
    match address:
        case SqliteAddress():
            return _sqlite_words(error, address)
        case PostgresAddress():
            return _postgres_words(error, address)


def _postgres_words(error: BaseException, address: PostgresAddress) -> str | None:
    if isinstance(error, OSError):
        return _unreachable(error, address)
    code, text = _code(error)
    if code is None:
        return None
    if code == _WRONG_PASSWORD and password() is None:
        code = _NO_PASSWORD
    return _WORDS.get(code, _OTHER_WORDS).format(
        text=text,
        user=address.user,
        database=address.database,
        host=address.host,
        port=address.port,
        place=address.place,
    )


def _unreachable(error: OSError, address: PostgresAddress) -> str:
    match error:
        case socket.gaierror():
            return f"no host {address.host!r} is known. Mend the host in the address"
        case ConnectionRefusedError():
            return f"nothing listens at {address.place}. Start the server, or mend host and port"
        case TimeoutError():
            return f"{address.place} does not answer. Start the server, or mend host, port and what lies between"
        case ssl.SSLError():
            return f"the connection cannot be encrypted ({error.reason}). Mend PGSSLROOTCERT or sslmode in the address"
        case _:
            return _WORDS[_BROKEN].format(place=address.place, text=error.strerror or error)


def _sqlite_words(error: BaseException, address: SqliteAddress) -> str | None:
    if not isinstance(error, sqlite3.Error):
        return None
    missing = missing_folder(address)
    if missing is not None:
        return missing
    text = str(error)
    words = (words for part, words in _SQLITE_WORDS.items() if part in text)
    return next(words, _OTHER_SQLITE_WORDS.format(text=text))
