from collections.abc import Callable
from typing import Any


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
