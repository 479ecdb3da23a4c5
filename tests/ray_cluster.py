"""A Ray cluster of the tests' own, in token mode: on loopback, on free ports, in a folder that goes away with it.

The head, and what nodes are added, can be killed and started again.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

_UP_SECONDS = 120
_STARTS = 3  # on a busy machine a head may give itself up
_OBJECT_STORE_BYTES = 100 * 2**20
# What tells a client or a node which cluster to take, and who it is.
_ABOUT_CLUSTERS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_open = build_opener(ProxyHandler({})).open


class Cluster:
    """The cluster.

    Attributes:
        folder: Where it keeps its sessions and logs.
        token: What it lets in by.
        python: The interpreter of its nodes.
        port: Of the head, where other nodes join.
        dashboard_port: Where jobs are submitted.
    """

    def __init__(self, cpus=2, gpus=0, **environment):
        """Start the head; `environment` is added to that of all nodes."""
        self.folder = Path(tempfile.mkdtemp(prefix="ns-ray-"))  # short: sockets lie below, whose paths are limited
        self.token = secrets.token_hex(32)
        self.python = sys.executable
        self.port, self.dashboard_port, *self._ports = free_ports(9)
        self._resources = [f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
        self._environment = environment
        self._nodes = []
        self.head = None
        self.start_head()

    @property
    def address(self):
        """Where a driver or a node connects."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def environment(self):
        """The environment of a client that belongs to the cluster."""
        kept = {name: value for name, value in os.environ.items() if name not in _ABOUT_CLUSTERS}
        return {**kept, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}

    def start_head(self):
        """Start a head with no memory of an earlier one; it keeps address and token."""
        agent, agent_grpc, client, metrics, manager, objects, runtime = self._ports
        words = ["--head", f"--port={self.port}", "--dashboard-host=127.0.0.1"]
        words += [f"--dashboard-port={self.dashboard_port}", f"--dashboard-agent-listen-port={agent}"]
        words += [f"--dashboard-agent-grpc-port={agent_grpc}", f"--ray-client-server-port={client}"]
        words += [f"--metrics-export-port={metrics}", f"--node-manager-port={manager}"]
        words += [f"--object-manager-port={objects}", f"--runtime-env-agent-port={runtime}"]
        words += [*self._resources, f"--temp-dir={self.folder / 'ray'}"]
        for _ in range(_STARTS):
            self.head = self._start(words)
            if comes_up(self._takes_jobs, self.head):
                return
            self.kill(self.head)
        raise AssertionError(f"the Ray head does not come up:\n{(self.folder / 'log').read_text()[-3000:]}")

    def add_node(self, cpus=1, **environment):
        """Add a second node of this machine and return its process."""
        words = [f"--address={self.address}", f"--num-cpus={cpus}", "--num-gpus=0"]
        before = len(self.nodes())
        node = self._start(words, **environment)
        self._nodes.append(node)
        assert comes_up(lambda: len(self.nodes()) > before, node), (self.folder / "log").read_text()[-3000:]
        return node

    def kill(self, node):
        """Kill a node, or the head, with all that runs on it; one that has ended is left alone."""
        if node.poll() is not None:  # its number may be another process's by now
            return
        for process in list(family(node.pid)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.wait()

    def remove(self):
        """Kill everything and remove the folder."""
        for node in (*self._nodes, self.head):
            self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, path, **headers):
        """Return what the head answers as JSON to a member of the cluster."""
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        with _open(Request(self.url + path, headers=headers), timeout=10) as answer:
            return json.load(answer)

    def nodes(self):
        """Return the living nodes, as Ray tells them."""
        found = self.get("/api/v0/nodes?detail=true")["data"]["result"]["result"]
        return [node for node in found if node["state"] == "ALIVE"]

    def _start(self, words, **environment):
        ray = str(Path(self.python).with_name("ray"))
        command = [ray, "start", *words, "--node-ip-address=127.0.0.1"]
        command += [f"--object-store-memory={_OBJECT_STORE_BYTES}", "--disable-usage-stats", "--block"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                env={**self.environment, **self._environment, **environment},
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )

    def _takes_jobs(self):
        with suppress(OSError):
            return isinstance(self.get("/api/jobs/"), list) and bool(self.nodes())
        return False


def family(process):
    """Yield a process and all that descend from it, whatever groups and sessions they made."""
    yield process
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from family(int(child))


def free_ports(count):
    """Return so many free ports; all differ."""
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(count)]
        return [each.getsockname()[1] for each in opened]


def comes_up(is_so, process):
    """Wait until something has come up; return whether it has."""
    until = time.monotonic() + _UP_SECONDS
    while not is_so():
        if process.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
