"""Who we are for a tracking server that asks: a name and a password from the environment, or from a file it names."""

import base64
import os
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from neurosearch.tracking.entries import masked
from neurosearch.tracking.store import PASSWORD, PASSWORD_FILE, read_password

_USER, _TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"
_ASKED = "api/2.0/mlflow/experiments/search?max_results=1"  # a page that only who is logged in may see
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
        with urlopen(request, timeout=_ANSWER_SECONDS):  # noqa: S310
            return None
    except HTTPError as error:
        error.close()
        if error.code not in (401, 403):
            return None
    except (URLError, OSError, ValueError):
        return None
    if not os.environ.get(_USER) and not os.environ.get(_TOKEN):
        return f"{shown} asks for a name and a password. Set {_USER} and {PASSWORD} (or {PASSWORD_FILE})."
    return f"{shown} refuses the name or the password. Set {_USER} and {PASSWORD} to the right ones."


def _headers() -> dict[str, str]:
    user, secret, token = (os.environ.get(name, "") for name in (_USER, PASSWORD, _TOKEN))
    if user:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}
