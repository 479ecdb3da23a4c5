"""Running a command of ours on a cluster's head as a small job, and reading what it answers."""

import json
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch.cluster.errors import ClusterError

if TYPE_CHECKING:
    from neurosearch.cluster.server import JobServer

_POLL_SECONDS = 0.2
_PREFIX = "neurosearch-asks"
# The interpreter that the head's own workers run in: the shell is a child of Ray's supervisor, and that of the raylet.
_FIND = (
    "raylet=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$PPID/status 2>/dev/null); "
    "python=$(tr '\\0' '\\n' 2>/dev/null </proc/$raylet/cmdline | "
    "sed -n 's/^--python_worker_command=\\([^ ]*\\) .*/\\1/p'); "
    'exec "${python:-python}"'
)


def ask(
    server: "JobServer",
    words: Sequence[object],
    *,
    python: str | None = None,
    package: Path | None = None,
    seconds: float = 180.0,
) -> Mapping[str, Any]:
    """Runs a command of ours on the head and returns its whole report as plain values, that of an error included.

    Args:
        server: The cluster's job server.
        words: The command.
        python: The head's interpreter; None: the one that its workers run in.
        package: Folder that the command runs in, as a copy.
        seconds: How long it may take.

    Raises:
        ClusterError: It could not be run, or did not end in time.
    """
    job_id = f"{_PREFIX}-{words[0]}-{secrets.token_hex(6)}"
    tail = shlex.join(("-m", "neurosearch", *map(str, words), "--whole-report"))
    server.submit(f"{_FIND if python is None else shlex.quote(python)} {tail}", job_id, {}, package)
    try:
        state = _ended(server, job_id, time.monotonic() + seconds)
        said = server.log(job_id)
    finally:
        _end(server, job_id)
    report = _report(said)
    if report is None:
        raise ClusterError(_no_report(server, words, state, said))
    return report


def _ended(server: "JobServer", job_id: str, until: float) -> str:
    while True:
        state = server.state(job_id)
        if state not in ("pending", "running"):
            return state
        if time.monotonic() > until:
            raise ClusterError(
                f"the head of {server.address.url} has not answered in time: the small job {job_id} is still {state}. "
                "See what the head does (`ray status` there), and try again."
            )
        time.sleep(_POLL_SECONDS)


def _end(server: "JobServer", job_id: str) -> None:
    with suppress(ClusterError):  # the head may be gone, which is told by others
        if server.state(job_id) in ("pending", "running"):  # nobody waits for its answer any more
            server.stop(job_id)
        server.forget(_PREFIX)


def _report(said: str) -> Mapping[str, Any] | None:
    """Returns the report among all that a job said; None where there is none."""
    for line in reversed(said.splitlines()):
        if line.startswith('{"report":'):
            with suppress(ValueError):
                found: Mapping[str, Any] = json.loads(line)
                return found
    return None


def _no_report(server: "JobServer", words: Sequence[object], state: str, said: str) -> str:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    if "No module named neurosearch" in said or "not found" in last:
        return (
            f"neurosearch is not installed where the workers of {server.address.url} run ({last.strip()}). Install the "
            "same version there as here, on every node, and start the cluster with that environment's `ray`."
        )
    return f"`neurosearch {words[0]}` {state} on the head of {server.address.url}: {last.strip() or 'it said nothing'}"
