"""An MLflow server of the tests' own: on loopback, on a free port, over a folder or over PostgreSQL and S3."""

import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

from tests.s3 import free_port

USER, PASSWORD = "root", "lily and tiger"
_UP_SECONDS = 180


class Server:
    """The server; it can be killed and started again, and keeps its port and what it holds.

    With `secured` it asks for the name and password above, and answers to the names of this machine alone.
    """

    def __init__(self, folder, database=None, artifacts=None, secured=False, **environment):
        """Takes a folder of its own, and where runs and artifacts lie: SQLite and files in the folder without them."""
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = Path(folder)
        self._folder.mkdir(exist_ok=True)
        self._artifacts = artifacts or str(self._folder / "files")
        self._secured = secured
        self._environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # In the environment and not on the command line, which everybody on the machine can read.
            "MLFLOW_BACKEND_STORE_URI": database or f"sqlite:///{self._folder / 'server.db'}",
            **environment,
        }
        if secured:
            self._environment |= self._secrets()
        self._process = None

    def start(self):
        words = ["--workers", "1", "--port", str(self.port), "--host", "127.0.0.1"]
        words += ["--serve-artifacts", "--artifacts-destination", self._artifacts]
        if self._secured:
            words += ["--app-name", "basic-auth", "--allowed-hosts", f"127.0.0.1:{self.port},localhost:{self.port}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        until = time.monotonic() + _UP_SECONDS
        while not self.answers():
            is_coming = self._process.poll() is None and time.monotonic() < until
            assert is_coming, f"the MLflow server does not come up:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def kill(self):
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    @property
    def log(self):
        return self._folder / "server.log"

    def answers(self):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _secrets(self):
        settings = self._folder / "auth.ini"
        settings.write_text(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
            f"database_uri = sqlite:///{self._folder / 'users.db'}\nadmin_username = {USER}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "grant_default_workspace_access = false\n"
            "auth_cache_ttl_seconds = 60\n"  # without it every request costs a hash of the password
        )
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": os.urandom(16).hex(),
        }
