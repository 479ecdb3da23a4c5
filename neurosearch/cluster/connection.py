"""Being let in by a cluster: it answers, takes our token, and runs the Ray that we run."""

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, build_opener

from neurosearch.cluster.address import JobAddress, job_address
from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.token import Token, own_token

if TYPE_CHECKING:
    from neurosearch.cluster.server import JobServer

_ANSWER_SECONDS = 5.0
_OLDEST_PYTHON = (3, 11)
_GIVE_TOKEN = "Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH with the file that holds it, in the environment here"  # noqa: S105
# Ray's client would go where these say, whatever was typed.
_ELSEWHERE = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")


@dataclass(frozen=True)
class Versions:
    """What runs somewhere.

    Attributes:
        ray: Version of Ray.
        python: Version of Python.
    """

    ray: str
    python: str


def connect(text: str) -> "JobServer":
    """Connects to the job server at an address.

    Raises:
        ClusterError: It does not answer, does not let us in, lets anybody in from afar, or runs another Ray.
    """
    address = job_address(text)
    token = _needed_token(address)  # asked without Ray, whose import takes seconds
    from neurosearch.cluster.server import JobServer

    with _no_other_address():
        server = JobServer(address, token)
    check_versions(address, server.versions())
    return server


def check_versions(address: JobAddress, there: Versions) -> None:
    """Checks that Ray there is the one here, and that Python there can run us.

    Raises:
        ClusterError: It is not.
    """
    here = metadata.version("ray")
    if _minor(there.ray) != _minor(here):
        raise ClusterError(
            f"the cluster at {address.url} runs Ray {there.ray}, and here is Ray {here}. Install ray=={there.ray} "
            f"here, or start the cluster with Ray {here}."
        )
    if tuple(map(int, there.python.split(".")[:2])) < _OLDEST_PYTHON:
        raise ClusterError(
            f"the cluster at {address.url} runs Python {there.python}, and neurosearch needs "
            f"{'.'.join(map(str, _OLDEST_PYTHON))} or newer. Start the cluster with a newer one."
        )


def ca_bundle() -> str | None:
    """Returns the file with the authorities that a server's certificate is checked against; None for the usual ones."""
    return os.environ.get("SSL_CERT_FILE") or None


def _needed_token(address: JobAddress) -> Token | None:
    """Returns what lets us in; None where nothing is needed.

    Raises:
        ClusterError: It wants a token and we have none, or anybody may come in from afar.
    """
    mode = _mode(address)
    if mode == "token":
        token = own_token()
        if token is None:
            raise ClusterError(f"the cluster at {address.url} wants a token, and there is none here. {_GIVE_TOKEN}.")
        return token
    if not address.is_loopback:
        raise ClusterError(
            f"the cluster at {address.url} takes jobs from anybody who reaches it. Start its nodes with "
            "RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN, or reach it through a tunnel that ends on 127.0.0.1."
        )
    return None


def _mode(address: JobAddress) -> str:
    """Returns how the server knows who may come in; everybody may ask that."""
    answer = _asked(address, "/api/authentication_mode")
    mode = answer.get("authentication_mode")
    if isinstance(mode, str):
        return mode
    version = _asked(address, "/api/version").get("ray_version")
    if isinstance(version, str):  # a Ray of before tokens
        check_versions(address, Versions(version, "3.11"))
    raise ClusterError(
        f"{address.url} answers, but not as a Ray dashboard does. Give the address that `ray start --head` prints for "
        "its dashboard."
    )


def _asked(address: JobAddress, path: str) -> dict[str, Any]:
    """Returns what the server says to anybody; nothing where it says no JSON.

    Raises:
        ClusterError: It does not answer.
    """
    try:
        with _opener(address).open(address.url + path, timeout=_ANSWER_SECONDS) as answer:
            found = json.load(answer)
    except (HTTPError, HTTPException):  # the latter from a port where no HTTP is spoken, such as Ray's own
        return {}
    except (URLError, OSError) as error:
        raise ClusterError(_no_answer(address, getattr(error, "reason", error))) from error
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _opener(address: JobAddress) -> OpenerDirector:
    proxies = [ProxyHandler({})] if address.is_loopback else []
    return build_opener(HTTPSHandler(context=ssl.create_default_context(cafile=ca_bundle())), *proxies)


def _no_answer(address: JobAddress, reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {address.url} is not trusted: {reason.verify_message}. Name the authority that signed "
            "it in SSL_CERT_FILE."
        )
    if isinstance(reason, ssl.SSLError):
        return f"{address.url} does not speak TLS: write http://, or mend the port."
    why = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return (
        f"no job server answers at {address.url}: {why}. Start the cluster (`ray start --head`), open the tunnel to "
        "it, or mend the address."
    )


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


@contextmanager
def _no_other_address() -> Iterator[None]:
    """Hides from Ray's client what would lead it elsewhere."""
    hidden = {name: os.environ.pop(name) for name in _ELSEWHERE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
