import os
import signal
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from neurosearch.tracking.store import StoreError, choose_store
from neurosearch.tracking.ui import running_ui, ui_command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_hosts_of_this_machine_alone_are_served(tmp_path, host):
    words = ui_command(choose_store(tmp_path, None), host, 5001)
    assert words[words.index("--host") + 1] == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "host.example"])
def test_hosts_that_others_reach_are_refused_with_a_way_out(tmp_path, host):
    with pytest.raises(StoreError, match=r"ask for no password\. Use 127\.0\.0\.1.* ssh -L 5001:127\.0\.0\.1"):
        ui_command(choose_store(tmp_path, None), host, 5001)


def test_a_server_has_pages_of_its_own(tmp_path):
    with pytest.raises(StoreError, match=r"open http://\*\*\*@host:5000 in a browser"):
        ui_command(choose_store(tmp_path, "http://ann:secret@host:5000"), "127.0.0.1", 5001)


def test_a_port_that_is_taken_is_named_with_its_remedy(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        store = choose_store(tmp_path, None)
        with (
            pytest.raises(StoreError, match=rf"Port {port} of 127\.0\.0\.1 cannot be used .* another with --port"),
            running_ui(store, "127.0.0.1", port, tmp_path / "ui.log"),
        ):
            pass
        assert not store.database.exists()


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_pages_come_up_and_a_signal_ends_them_with_all_their_children(embedded, tmp_path, ending):
    port, log = free_port(), tmp_path / "logs" / "ui.log"
    code = (
        "from pathlib import Path\n"
        "from neurosearch.tracking.store import choose_store\n"
        "from neurosearch.tracking.ui import run_ui\n"
        f"store = choose_store({str(embedded.folder)!r}, None)\n"
        f"run_ui(store, '127.0.0.1', {port}, Path({str(log)!r}), lambda address: print(address, flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address == f"http://127.0.0.1:{port}"
        with urlopen(address, timeout=20) as page:
            assert b"MLflow" in page.read()
        process.send_signal(ending)
        assert process.wait(30) == 0
        assert not reachable(port)
        assert log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def reachable(port: int) -> bool:
    time.sleep(0.2)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
