"""An S3 server of the tests' own, and a proxy that breaks transfers: both on loopback, on free ports."""

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

KEY, SECRET = "ann", "tiger-and-lily"
_BLOCK_BYTES = 1 << 14


def program():
    """Return the path of rclone; None where it is not installed."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


class Server:
    """The server; a bucket is a folder below `folder`, an object a file in it.

    With `certificate` and `key`, files in PEM, it speaks TLS alone.
    """

    def __init__(self, certificate=None, key=None):
        self.folder = Path(tempfile.mkdtemp(prefix="neurosearch-s3-"))
        self.port = free_port()
        self._secured = ["--cert", str(certificate), "--key", str(key)] if certificate else []
        self.start()

    @property
    def endpoint(self):
        return f"http{'s' if self._secured else ''}://127.0.0.1:{self.port}"

    def start(self):
        words = ["serve", "s3", "--auth-key", f"{KEY},{SECRET}", str(self.folder), "--addr", f"127.0.0.1:{self.port}"]
        words += [
            "--config",
            "/dev/null",
            "--vfs-cache-mode",
            "off",
            "--dir-cache-time",
            "5ms",  # at 0 it spins; what a test writes behind its back is seen at once all the same
            "--poll-interval",
            "0",
            *self._secured,
        ]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([program(), *words], stdout=quiet, stderr=quiet)
        until = time.monotonic() + 30
        while not self._answers():
            is_coming = self._process.poll() is None and time.monotonic() < until
            assert is_coming, "the S3 server does not start"
            time.sleep(0.02)

    def _answers(self):
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), timeout=1)):
            return True
        return False

    def stop(self):
        self._process.kill()
        self._process.wait(30)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)


def make_certificate(folder):
    """Write a certificate for 127.0.0.1 that nobody else has signed, and its key; return both paths."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return paths


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return free.getsockname()[1]


class Proxy:
    """Passes connections on to a port, and cuts or spoils what comes back.

    Attributes:
        cut_after: Bytes of answers after which a connection is cut; None never cuts.
        spoils: Whether a byte is changed in every full block, of which answers without a content have none.
        stall_after: Bytes of answers after which a connection hangs; None never does.
        num_bytes: Bytes of answers that were passed on, over all connections.
    """

    def __init__(self, port):
        self.cut_after = self.stall_after = None
        self.spoils = False
        self.num_bytes = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server), daemon=True).start()

    def _ask(self, client, server):
        with suppress(OSError):
            while block := client.recv(_BLOCK_BYTES):
                server.sendall(block)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client, server):
        passed = 0
        with suppress(OSError), client, server:
            while block := server.recv(_BLOCK_BYTES):
                if self.stall_after is not None and passed >= self.stall_after:
                    time.sleep(60)
                if self.cut_after is not None:
                    block = block[: max(0, self.cut_after - passed)]
                if self.spoils and len(block) == _BLOCK_BYTES:
                    block = block[:-1] + bytes([block[-1] ^ 0xFF])
                client.sendall(block)
                passed += len(block)
                self.num_bytes += len(block)
                if self.cut_after is not None and passed >= self.cut_after:
                    client.shutdown(socket.SHUT_RDWR)
                    return
