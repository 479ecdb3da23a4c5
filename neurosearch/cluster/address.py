"""Where a cluster takes jobs: the address of its dashboard, as a user types it."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from neurosearch.cluster.errors import ClusterError

_FORM = "write the address of the cluster's dashboard, such as http://127.0.0.1:8265 or https://ray.example"


@dataclass(frozen=True)
class JobAddress:
    """Where jobs are submitted.

    Attributes:
        url: Scheme, host and port, and a path where a proxy needs one; no slash at its end.
        host: Name or number of the machine.
        port: Its TCP port.
        is_encrypted: Whether what is sent is encrypted.
        is_loopback: Whether it is this machine, or a tunnel that begins on it.
    """

    url: str
    host: str
    port: int
    is_encrypted: bool
    is_loopback: bool


def is_job_address(text: str | None) -> bool:
    """Tells the address of a job server from one of Ray itself (host:port), which a search connects to."""
    return text is not None and "://" in text


def job_address(text: str) -> JobAddress:
    """Reads an address.

    Raises:
        ClusterError: It is none, or holds a name or password; the text does not repeat it.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ClusterError(f"that is no address: host or port is malformed; {_FORM}.") from error
    if parts.username is not None or parts.password is not None or (not parts.netloc and "@" in text):
        raise ClusterError(
            "the address holds a name or password, which would be shown; take it out and set RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH, in the environment."
        )
    if parts.scheme not in ("http", "https"):
        why = "Ray's own address, for drivers and nodes" if text.count(":") == 1 or parts.scheme == "ray" else "none"
        raise ClusterError(f"{text!r} is {why}; {_FORM}.")
    if not parts.hostname or parts.query or parts.fragment:
        raise ClusterError(f"{text!r} is no address of a server; {_FORM}.")
    is_encrypted = parts.scheme == "https"
    found = port or (443 if is_encrypted else 80)
    return JobAddress(text.rstrip("/"), parts.hostname, found, is_encrypted, is_loopback(parts.hostname))


def is_loopback(host: str) -> bool:
    """Tells whether a host is whatever machine asks for it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
