"""Servers that are away: nothing that was typed or written is known to be wrong, and later the same may work."""

import socket

from neurosearch.config.base import ConfigError


class ServersAway(ConfigError):
    """All that keeps a config from being used are servers that it names and that cannot be reached now."""


def is_outage(error: BaseException | None) -> bool:
    """Tells whether a server that could not be reached, or answered that it cannot now, is behind an error."""
    from neurosearch.cluster.errors import ClusterAway, ClusterError
    from neurosearch.data.problems import ServerAway
    from neurosearch.data.s3 import BrokenTransfer

    if isinstance(error, ClusterAway):
        return True
    away = (ConnectionError, TimeoutError, socket.gaierror, BrokenTransfer, ServerAway, ServersAway)
    while error is not None and not isinstance(error, ClusterError):  # whose address was typed just now
        if isinstance(error, away):
            return True
        error = error.__cause__
    return False
