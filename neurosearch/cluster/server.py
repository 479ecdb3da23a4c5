"""A cluster's job server, through Ray's own client: what it runs on, the jobs there, and submitting them."""

import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import requests
from ray._private.runtime_env import packaging
from ray.dashboard.modules import dashboard_sdk
from ray.dashboard.modules.job import sdk
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from neurosearch.cluster.address import JobAddress
from neurosearch.cluster.connection import Versions, ca_bundle
from neurosearch.cluster.errors import ClusterAway, ClusterError
from neurosearch.cluster.jobs import Job, JobState, job_state
from neurosearch.cluster.offered import Node
from neurosearch.cluster.token import Token
from neurosearch.search.surroundings import environment

_ANSWER_SECONDS = (5.0, 60.0)  # to connect, and between two pieces of an answer
_NO_PROXY = {"http": "", "https": ""}
_MOST_NODES = 10_000
_WHOLE_PACKAGE = {"RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES": ""}  # else a class named `venv` would stay behind
_SETTLED_SECONDS = 30.0
_NO_AGENT, _AGENT_SECONDS = (
    "No available agent",
    60.0,
)  # what a head says that has started just now, and how long at most


class JobServer:
    """The server; whoever has one was let in.

    Attributes:
        address: Where it is.
    """

    def __init__(self, address: JobAddress, token: Token | None) -> None:
        """Connects.

        Raises:
            ClusterError: It does not let us in, or does not answer.
        """
        self.address = address
        self._client = _Client(address, token)

    def versions(self) -> Versions:
        """Returns what the head runs."""
        found = self._get("/api/v0/cluster_metadata")["data"]
        return Versions(found["rayVersion"], found["pythonVersion"])

    def nodes(self) -> tuple[Node, ...]:
        """Returns the nodes that are there."""
        found = self._get(f"/api/v0/nodes?detail=true&limit={_MOST_NODES}")["data"]["result"]["result"]
        return tuple(Node.of(each["resources_total"] or {}) for each in found if each["state"] == "ALIVE")

    def jobs(self) -> tuple[Job, ...]:
        """Returns the jobs that we submitted, the newest first."""
        found = [Job.of(each.model_dump()) for each in self._client.list_jobs() if each.submission_id]
        return tuple(sorted((job for job in found if job is not None), key=lambda job: -job.started))

    def state(self, job_id: str) -> JobState:
        """Returns how a job stands."""
        return job_state(self._client.get_job_status(job_id).value)

    def submit(self, entrypoint: str, job_id: str, metadata: Mapping[str, str], package: Path | None) -> None:
        """Submits a job.

        Args:
            entrypoint: What a shell runs on the head.
            job_id: Its id, which no other job has had.
            metadata: What is kept with it, and shown to everybody who may see jobs.
            package: Folder that it runs in, as a copy; None: where the head was started.
        """
        runs_in = {} if package is None else {"working_dir": str(package)}
        until = time.monotonic() + _AGENT_SECONDS
        while True:
            try:
                with environment(_WHOLE_PACKAGE):
                    self._client.submit_job(
                        entrypoint=entrypoint, submission_id=job_id, metadata=dict(metadata), runtime_env=runs_in
                    )
            except ClusterError as error:
                if _NO_AGENT not in str(error):
                    raise
                if time.monotonic() > until:
                    raise ClusterError(_agentless(self.address)) from error
                time.sleep(1.0)
            else:
                return

    def stop(self, job_id: str) -> None:
        """Ends a job's processes: SIGTERM, and SIGKILL to those that do not heed it."""
        self._client.stop_job(job_id)

    def forget(self, prefix: str) -> None:
        """Takes jobs whose ids begin so, and that ended a while ago, out of the list.

        A job that ended just now would come back: Ray writes down its end once more.
        """
        before = 1000 * (time.time() - _SETTLED_SECONDS)
        for job in self._client.list_jobs():
            if job.submission_id and job.submission_id.startswith(prefix) and (job.end_time or before) < before:
                self._client.delete_job(job.submission_id)

    def log(self, job_id: str) -> str:
        """Returns what a job has said."""
        return self._client.get_job_logs(job_id)

    def words(self, job_id: str) -> Iterator[str]:
        """Yields what a job says from its first word on, in pieces, until it ends."""
        import asyncio

        async def piece() -> str | None:
            return await anext(pieces, None)

        pieces: AsyncIterator[str] = self._client.tail_job_logs(job_id)
        try:
            with asyncio.Runner() as runner:
                while (text := runner.run(piece())) is not None:
                    yield text
        except (aiohttp.ClientError, RuntimeError) as error:
            raise ClusterAway(_silent(self.address, error)) from error

    def _get(self, path: str) -> Any:
        answer = self._client.request("GET", path)
        if answer.status_code != requests.codes.ok:
            raise ClusterError(_refused(self.address, answer))
        return answer.json()


class _Client(JobSubmissionClient):
    """Ray's client, which by itself waits for ever and raises whatever it meets."""

    def __init__(self, address: JobAddress, token: Token | None) -> None:
        self._job_address, self._token = address, token
        for module in (dashboard_sdk, sdk, packaging):  # they tell of every upload, and of every log's end
            logging.getLogger(module.__name__).setLevel(logging.WARNING)
        headers = {"Authorization": f"Bearer {token.secret}"} if token else {}
        super().__init__(address.url, headers=headers, verify=ca_bundle() or True)

    def request(self, method: str, path: str) -> requests.Response:
        """Asks for what Ray's client has no method for."""
        return self._do_request(method, path)

    def _do_request(self, method: str, endpoint: str, **more: Any) -> requests.Response:
        if self._job_address.is_loopback:
            more["proxies"] = _NO_PROXY
        try:
            return super()._do_request(method, endpoint, timeout=_ANSWER_SECONDS, **more)
        except AuthenticationError:
            source = self._token.source if self._token else "nowhere"
            raise ClusterError(
                f"the cluster at {self._job_address.url} refuses the token from {source}: it is wrong, or was changed "
                "there since. Put the cluster's present one there, or into RAY_AUTH_TOKEN, or into the file that "
                "RAY_AUTH_TOKEN_PATH names."
            ) from None  # what Ray's error says is on options that are not ours
        except requests.RequestException as error:
            raise ClusterAway(_silent(self._job_address, error)) from error

    def _raise_error(self, r: requests.Response) -> None:
        raise ClusterError(_refused(self._job_address, r))


def _agentless(address: JobAddress) -> str:
    return (
        f"the head at {address.url} cannot run jobs: its agent has not started. Another Ray on that machine may hold "
        "the agent's port; start the head with --dashboard-agent-listen-port and a free one. The agent's own words are "
        "in dashboard_agent.log there."
    )


def _silent(address: JobAddress, error: Exception) -> str:
    return (
        f"the job server at {address.url} stopped answering ({type(error).__name__}). If the head is still there, try "
        "again: what was submitted goes on. If it is lost, start it anew and `neurosearch resume` the study there."
    )


def _refused(address: JobAddress, answer: requests.Response) -> str:
    lines = [line.strip() for line in answer.text.splitlines() if line.strip()] or ["no word of why"]
    return f"the job server at {address.url} refuses that ({answer.status_code}): {lines[-1][:500]}"
