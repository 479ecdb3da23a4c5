"""Who we are for a tracking server that asks: a name and a password from the environment, or from a file it names."""

import base64
import configparser
import os
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from neurosearch.tracking.entries import masked
from neurosearch.tracking.store import PASSWORD, PASSWORD_FILE, read_password

_USER, _TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"
_ASKED = "api/2.0/mlflow/experiments/search?max_results=1"  # a page that only who is logged in may see
_FILE = Path("~/.mlflow/credentials")
_OPENED = ("https", "http")
_ANSWER_SECONDS = 5.0


def refusal(uri: str) -> str | None:
    """Says why a tracking server does not let us in and how to mend that; None if it does, or does not answer.

    Raises:
        StoreError: The file with the password cannot be read.
    """
    read_password()
    shown = masked(uri)
    try:
        request = Request(f"{uri.rstrip('/')}/{_ASKED}", headers=_headers())  # noqa: S310  # http or https
        with build_opener(_OwnHostAlone).open(request, timeout=_ANSWER_SECONDS):
            return None
    except HTTPError as error:
        error.close()
        if error.code not in (401, 403):
            return None
    except HTTPException:  # the port of a database, or of Ray
        return f"{shown} answers, but not as a tracking server does. Mend the address."
    except (URLError, OSError, ValueError):
        return None
    if not _headers():
        return f"{shown} asks for a name and a password. Set {_USER} and {PASSWORD} (or {PASSWORD_FILE})."
    return f"{shown} refuses the name or the password. Set {_USER} and {PASSWORD} to the right ones."


class _OwnHostAlone(HTTPRedirectHandler):
    """Follows a server elsewhere, as MLflow's client does, but takes the login to no other host and to no open line."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        again = super().redirect_request(req, fp, code, msg, headers, newurl)
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if again is not None and (before.hostname != after.hostname or (before.scheme, after.scheme) == _OPENED):
            again.remove_header("Authorization")
        return again


def _headers() -> dict[str, str]:
    user, secret, token = (os.environ.get(name, "") for name in (_USER, PASSWORD, _TOKEN))
    user, secret = user or _kept("mlflow_tracking_username"), secret or _kept("mlflow_tracking_password")
    if user:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _kept(name: str) -> str:
    """Returns what the file has that MLflow's client reads where the environment says nothing; empty without one."""
    try:
        found = configparser.ConfigParser(interpolation=None)
        found.read(_FILE.expanduser(), encoding="utf-8")
        return found.get("mlflow", name, fallback="")
    except (OSError, UnicodeDecodeError, configparser.Error):
        return ""
