"""A PostgreSQL server of the tests' own: on loopback, on a free port, in a folder that goes away with it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

OWNER, PASSWORD = "ann", "tiger and lily"


def programs():
    """Return the folder of PostgreSQL's programs; None where there are none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # where Debian puts them
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Server:
    """The server; it can be stopped, killed and started again, and keeps its port and what it holds."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="neurosearch-postgres-"))
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.geteuid() == 0 else {}
        if self._user:  # the server refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        words = ["-D", "data", "-U", OWNER, "-A", "scram-sha-256", "--pwfile", "password", "--no-sync", "--locale", "C"]
        self._run("initdb", *words, "--encoding", "UTF8")
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self._names = 0
        self._process = None
        self.start()

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        words = ["-D", "data", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        words += ["-c", "unix_socket_directories=", "-c", "max_connections=40"]
        with (self.folder / "log").open("ab") as log:
            program = str(programs() / "postgres")
            self._process = subprocess.Popen([program, *words], cwd=self.folder, stdout=log, stderr=log, **self._user)
        until = time.monotonic() + 30
        while not self._answers():
            is_coming = self._process.poll() is None and time.monotonic() < until
            assert is_coming, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self):
        """End it at once, as a machine does that is shut down: connections break, nothing committed is lost."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def kill(self):
        """Kill all its processes, as a machine does that loses its power; what was written is still there."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)

    def remove(self):
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def sql(self, text, database="postgres"):
        """Run statements of the owner and return the first answer's rows."""
        import pg8000.dbapi

        with closing(
            pg8000.dbapi.connect(OWNER, host="127.0.0.1", port=self.port, password=PASSWORD, database=database)
        ) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    def new_database(self):
        """Make an empty database and return its address, without the password."""
        self._names += 1
        name = f"studies_{self._names}"
        self.sql(f"CREATE DATABASE {name}")
        return self.address(name)

    def address(self, database, user=OWNER, port=None):
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def _answers(self):
        ready = [programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _run(self, program, *words):
        subprocess.run(
            [programs() / program, *words], cwd=self.folder, check=True, capture_output=True, text=True, **self._user
        )


class Wire:
    """A relay before the server that can lose an answer, or fall silent, as a network does."""

    def __init__(self, server):
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lost = 0
        self._lost_words = None
        self._pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer(self, words):
        """Break the connection instead of passing on the next answer with these words; what was asked is done."""
        self._lost_words = words

    def fall_silent(self):
        """Pass nothing on over the connections there are; the server keeps them, and new ones work."""
        for pair in self._pairs:
            pair["silent"] = True

    def close(self):
        self._listener.close()
        for pair in self._pairs:
            self._break(pair)

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._server.port))
            pair = {"near": near, "far": far, "silent": False}
            self._pairs.append(pair)
            threading.Thread(target=self._pass, args=(pair, near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(pair, far, near, False), daemon=True).start()

    def _pass(self, pair, source, target, is_asked):
        with suppress(OSError):
            while data := source.recv(65536):
                if not is_asked and self._lost_words and self._lost_words in data:
                    self._lost_words = None
                    self.lost += 1
                    break
                if not pair["silent"]:
                    target.sendall(data)
        if not pair["silent"]:
            self._break(pair)

    @staticmethod
    def _break(pair):
        for end in (pair["near"], pair["far"]):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
