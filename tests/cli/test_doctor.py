import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = ["versions", "GPU", "compiler", "memory", "Ray", "storage", "MLflow", "disk", "clock"]


def test_each_thing_has_a_line_within_ten_seconds(type_in: Callable[..., Any]) -> None:
    began = time.monotonic()
    facts = type_in("doctor", "--json").facts
    assert time.monotonic() - began < 10
    assert [finding["name"] for finding in facts["findings"]] == NAMES
    assert facts["ok"] == all(finding["state"] != "wrong" for finding in facts["findings"])


def test_what_is_wrong_has_a_remedy_and_an_exit_code(type_in: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_bytes(b"no database" * 100)
    done = type_in("doctor", "--address", "127.0.0.1:1")
    assert done.code == 3
    assert "wrong  Ray: no cluster answers at 127.0.0.1:1: Connection refused. Start it with `ray start" in done.err
    assert "If it is damaged, move it away" in done.err
    assert done.err.endswith("next: neurosearch doctor --address 127.0.0.1:1\n")


def test_what_was_wrong_is_examined_again(type_in: Callable[..., Any], config: Callable[..., Path]) -> None:
    words = (
        "--folder",
        "mine",
        "--tracking",
        "http://127.0.0.1:1",
        "--address",
        "127.0.0.1:1",
        "--config",
        config().name,
    )
    assert type_in("doctor", *words, "--json").facts["next"] == [" ".join(("neurosearch", "doctor", *words))]
    sqlite = "sqlite:///no/such/folder.db"
    assert type_in("doctor", "--database", sqlite, "--json").facts["next"] == [
        f"neurosearch doctor --database {sqlite}"
    ]


def test_a_compiler_is_missed_where_a_config_needs_one(
    type_in: Callable[..., Any], config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    plain = type_in("doctor", "--json").facts["findings"]
    assert {"name": "compiler", "state": "ok"}.items() <= plain[NAMES.index("compiler")].items()
    path = config(training="{epochs: 1, compile: true}")
    done = type_in("doctor", "--config", path.name)
    assert done.code == 3
    assert "wrong  compiler: there is no C++ compiler no-such-compiler on this machine. Install one" in done.err
    assert "Without it set training.compile: false." in done.err
