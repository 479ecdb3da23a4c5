import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest


def test_pages_are_for_this_machine_alone(type_in: Callable[..., Any]) -> None:
    done = type_in("ui", "--host", "0.0.0.0")
    assert done.code == 2
    assert "127.0.0.1" in done.err
    assert "Traceback" not in done.err


def test_the_pages_of_a_server_are_named(type_in: Callable[..., Any], start: Callable[..., Any], tmp_path: Any) -> None:
    start(tmp_path / "runs", tracking={"uri": "http://example.invalid:5000"}).close()
    done = type_in("ui", "tiny")
    assert done.code == 2
    assert "open http://example.invalid:5000 in a browser" in done.err


@pytest.mark.servers
@pytest.mark.slow
def test_the_pages_open_and_ctrl_c_closes_them(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-u", "-m", "neurosearch", "ui", "--port", str(port)]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"open http://127.0.0.1:{port}")
        with urlopen(line.split()[1], timeout=30) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert rest.splitlines() == ["closed.", f"next: neurosearch ui --port {port}"]
    finally:
        process.kill()
        process.wait()
