"""The token by which a cluster lets in: from the environment or a file, by Ray's own names and in Ray's own order."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from neurosearch.cluster.errors import ClusterError

_TOKEN, _PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_DEFAULT = Path("~/.ray/auth_token")


@dataclass(frozen=True)
class Token:
    """A token.

    Attributes:
        secret: The token itself, which is shown nowhere.
        source: Where it was found, in words.
    """

    secret: str = field(repr=False)
    source: str


def own_token() -> Token | None:
    """Returns the token of this process; None when it has none.

    Raises:
        ClusterError: The file that should hold it cannot be read, or holds none.
    """
    if token := os.environ.get(_TOKEN, "").strip():
        return Token(_checked(token, _TOKEN), _TOKEN)
    if named := os.environ.get(_PATH):
        return Token(_read(Path(named), f"{_PATH} names {named}, which"), f"{_PATH} ({named})")
    default = _DEFAULT.expanduser()
    return Token(_read(default, str(default)), str(default)) if default.exists() else None


def _read(path: Path, what: str) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ClusterError(
            f"{what} cannot be read: {why}. It should hold the cluster's token, and nothing else."
        ) from None
    return _checked(token, what)


def _checked(token: str, what: str) -> str:
    """Returns a token that can be sent; the words about another do not repeat it."""
    if not token.isascii() or not token.isprintable() or len(token.split()) != 1:
        raise ClusterError(f"{what} holds no token. It should hold the cluster's token, and nothing else.")
    return token
